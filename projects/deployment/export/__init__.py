"""A trained model as a file that was seen to say the same."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)
