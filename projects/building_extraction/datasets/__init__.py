"""The data sets and transforms that configs name; importing the package registers them."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)

from .bonai import BonaiDataset, BonaiInstanceDataset, BonaiScores
from .building_instances import BuildingInstanceDataset
from .building_masks import BuildingMaskDataset
from .building_tiles import BuildingTileDataset
from .mixed_dataset import MixedDataset

__all__ = [
    'BonaiDataset',
    'BonaiInstanceDataset',
    'BonaiScores',
    'BuildingInstanceDataset',
    'BuildingMaskDataset',
    'BuildingTileDataset',
    'MixedDataset',
]
