"""Decode heads: from backbone levels to the logits of each class, for mmseg's segmentors."""

from .efficientvit_head import EfficientViTHead
from .smp_head import SMPHead

__all__ = ['EfficientViTHead', 'SMPHead']
