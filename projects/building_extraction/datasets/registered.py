"""The data sets and transforms that configs name; importing this registers them.

Apart from the package, so that converting data does not import all of OpenMMLab.
"""

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
