"""Buildings in COCO's instance format, with their heights in evaluation."""

from dataclasses import asdict
from typing import Any

from mmengine.registry import DATASETS

from projects.training.datasets import CheckedCocoDataset

from ..height_classes import HeightClasses
from .loading import known_heights_m


@DATASETS.register_module()
class BuildingInstanceDataset(CheckedCocoDataset):
    """A COCO instance file whose annotations may carry `building_height`, metres or null.

    In evaluation, each sample lists its `buildings` for `DrawBuildings`: segmentation, `height_m` (NaN if unknown) and
    whether it is ignored (`iscrowd` or `ignore`); `metainfo` has the height classes that a tile set was made with.
    Arguments and errors: see `CheckedCocoDataset`.
    """

    METAINFO = {'classes': ('building',), 'palette': [(220, 20, 60)]}  # noqa: RUF012

    def load_data_list(self) -> list[dict]:
        if self.test_mode and (classes := HeightClasses.of_tile_set(self.data_root)):
            self._metainfo['height_classes'] = asdict(classes)
        return super().load_data_list()

    def parse_data_info(self, raw_data_info: dict) -> dict:
        annotations = [
            {key: value for key, value in annotation.items() if key != 'ignore'}  # mmdet would take it as background
            | {'iscrowd': int(bool(annotation.get('iscrowd')) or bool(annotation.get('ignore')))}
            for annotation in raw_data_info['raw_ann_info']
        ]
        info = super().parse_data_info(raw_data_info | {'raw_ann_info': annotations})
        if self.test_mode:
            info['buildings'] = self._buildings(annotations)
        return info

    def _buildings(self, annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        drawn = [
            annotation
            for annotation in annotations
            if annotation['category_id'] in self.cat_ids and annotation.get('segmentation')
        ]
        try:
            heights_m = known_heights_m(annotation.get('building_height') for annotation in drawn)
        except TypeError as error:
            raise ValueError(f'{self.ann_file}: "building_height" of an annotation: {error}') from error
        return [
            {'segmentation': annotation['segmentation'], 'height_m': height_m, 'ignored': bool(annotation['iscrowd'])}
            for annotation, height_m in zip(drawn, heights_m.tolist(), strict=True)
        ]
