"""What any trained model needs on its way to use."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)
