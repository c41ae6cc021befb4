"""Building data sets: on-disk formats and their conversion."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)
