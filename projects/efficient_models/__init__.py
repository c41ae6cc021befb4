"""Networks: backbones, necks and decode heads, each registered in mmengine's root registry on import."""

from . import backbones, decode_heads, necks

__all__ = ['backbones', 'decode_heads', 'necks']
