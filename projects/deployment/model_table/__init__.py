"""What every config costs, beside what was published."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)
