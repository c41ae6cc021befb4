"""Roofs, the offsets to their footprints and heights of buildings in one detector; importing it registers them."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)

from .offset_height_head import OffsetHeightHead
from .roi_head import RoofOffsetRoIHead
from .transforms import (
    LoadRoofs,
    PackRoofs,
    RandomCropRoofs,
    RandomFlipRoofs,
    RandomTurnRoofs,
    ResizeRoofs,
)

__all__ = [
    'LoadRoofs',
    'OffsetHeightHead',
    'PackRoofs',
    'RandomCropRoofs',
    'RandomFlipRoofs',
    'RandomTurnRoofs',
    'ResizeRoofs',
    'RoofOffsetRoIHead',
]
