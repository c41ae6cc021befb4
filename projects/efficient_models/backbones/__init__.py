"""Backbones: one file per architecture."""

from .efficientmod import EfficientMod
from .efficientvit_mit import EfficientViTMIT
from .efficientvit_msra import EfficientViTMSRA
from .shvit import SHViT

__all__ = ['EfficientMod', 'EfficientViTMIT', 'EfficientViTMSRA', 'SHViT']
