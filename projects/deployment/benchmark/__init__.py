"""How fast models are, side by side, and what the papers claim."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)
