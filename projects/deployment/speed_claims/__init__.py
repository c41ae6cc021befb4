"""The speeds that papers claim, measured on one's own machine."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)
