"""Skyline: efficient backbones for dense prediction, on OpenMMLab and timm."""

from . import openmmlab_compat  # before anything imports mmcv

__all__ = ['openmmlab_compat']
