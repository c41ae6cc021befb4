"""Quantisers side by side: methods x bits x trainings x calibration sets, with intervals."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)
