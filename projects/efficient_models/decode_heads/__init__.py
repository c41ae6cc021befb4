"""Decode heads: from backbone levels to the logits of each class, for mmseg's segmentors."""

from .efficientvit_head import EfficientViTHead

__all__ = ['EfficientViTHead']
