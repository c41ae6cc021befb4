"""What the kept configs of earlier runs import, from when the package did not register its data sets itself."""

from . import *  # noqa: F403
