"""Networks: backbones, necks and decode heads, each registered in mmengine's root registry on import."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)

from . import backbones, decode_heads, necks

__all__ = ['backbones', 'decode_heads', 'necks']
