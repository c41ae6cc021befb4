"""Networks: backbones and necks, each registered in mmengine's root registry on import."""

from . import backbones, necks

__all__ = ['backbones', 'necks']
