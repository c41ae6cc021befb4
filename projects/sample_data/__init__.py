"""Small generated data sets in the exact on-disk formats of the real ones."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)

from .shrink import use_sample

__all__ = ['use_sample']
