"""Tiles of images, masks, instances and heights, as the scenes and `tools/prepare_data.py geotiff` write them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS

from ..height_classes import HeightClasses
from ..mask_codes import BUILDING_GRAY, IGNORED_GRAY
from .building_masks import BuildingMaskDataset


@DATASETS.register_module()
class BuildingTileDataset(BuildingMaskDataset):
    """A split of building tiles: `images/`, `masks/`, and for scores per height class `instances/` and `buildings/`.

    In evaluation, the samples of a set that has the last two name their files, for `LoadBuildings`. Heights of a set
    without them are unknown. The height classes that the set was made with go with them, as `metainfo` says.

    Args:
        data_prefix: Folders of the images (`img_path`) and the masks (`seg_map_path`); the other two are beside the
            images.
        **kwargs: Of `BuildingMaskDataset`. By default 255 is building, 0 background and 127 ignored.

    Raises:
        FileNotFoundError: One of `instances/` and `buildings/` is there without the other; and as
            `BuildingMaskDataset` does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{'building': BUILDING_GRAY, 'background': (0,), 'ignored': (IGNORED_GRAY,), **kwargs})

    def load_data_list(self) -> list[dict]:
        data_list = super().load_data_list()
        if self.test_mode and (classes := HeightClasses.of_tile_set(self.data_root)):
            self._metainfo['height_classes'] = asdict(classes)
        split = Path(self.data_prefix['img_path']).parent
        instances, buildings = split / 'instances', split / 'buildings'
        if not self.test_mode or not (instances.is_dir() or buildings.is_dir()):
            return data_list
        for folder in (instances, buildings):
            if not folder.is_dir():
                raise FileNotFoundError(
                    f'No folder {folder.absolute()}. Scores per height class need instances/ and buildings/; without '
                    'either, all heights are unknown'
                )
        for info in data_list:
            tile = Path(info['img_path']).relative_to(self.data_prefix['img_path'])
            info['instances_path'] = str(instances / tile.with_suffix('.png'))
            info['buildings_path'] = str(buildings / tile.with_suffix('.json'))
        return data_list
