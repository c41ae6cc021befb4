"""Networks as graphs from images to results, tensors in and tensors out, for every runtime alike."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)

from .build import build_graph, load_model

__all__ = ['build_graph', 'load_model']
