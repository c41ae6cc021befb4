"""Backbones: one file per architecture."""

from .efficientmod import EfficientMod
from .efficientvit_mit import EfficientViTMIT
from .efficientvit_msra import EfficientViTMSRA
from .mixer_pyramid import MixerPyramid
from .mobile_former import MobileFormer
from .shvit import SHViT
from .timm_backbone import TimmBackbone
from .turbovit import TurboViT

__all__ = [
    'EfficientMod',
    'EfficientViTMIT',
    'EfficientViTMSRA',
    'MixerPyramid',
    'MobileFormer',
    'SHViT',
    'TimmBackbone',
    'TurboViT',
]
