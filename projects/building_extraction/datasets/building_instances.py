"""Buildings in COCO's instance format, with their heights in evaluation."""

import math
from dataclasses import asdict
from typing import Any

from mmengine.registry import DATASETS

from projects.training.datasets import CheckedCocoDataset

from ..bonai_annotations import offset_px
from ..height_classes import HeightClasses
from .loading import known_heights_m


@DATASETS.register_module()
class BuildingInstanceDataset(CheckedCocoDataset):
    """A COCO instance file whose annotations may carry `building_height`, metres or null.

    In evaluation, each sample lists its `buildings` for `DrawBuildings`: segmentation, `height_m` (NaN if unknown) and
    whether it is ignored (`iscrowd` or `ignore`); `metainfo` has the height classes that a tile set was made with. The
    size of a pixel, `gsd_m`, is that of the file's entry of the image, if it has one.

    Args:
        with_offsets: For `roof_offsets`: an instance's box is that of roof and footprint together (`building_bbox`,
            where an annotation has it), its mask the segmentation, which should be the roof; beside them stand
            `offset`, roof - footprint in pixels to the right and down, and `height_m`, NaN where unknown.
        **kwargs: Of `CheckedCocoDataset`, whose errors there are too.
    """

    METAINFO = {'classes': ('building',), 'palette': [(220, 20, 60)]}  # noqa: RUF012

    def __init__(self, *args: Any, with_offsets: bool = False, **kwargs: Any) -> None:
        self.with_offsets = with_offsets
        super().__init__(*args, **kwargs)

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
        if self.with_offsets:
            info = self._with_offsets(raw_data_info, annotations)
        else:
            info = super().parse_data_info(raw_data_info | {'raw_ann_info': annotations})
        if self.test_mode:
            info['buildings'] = self._buildings(annotations)
        if 'gsd_m' in (image := raw_data_info['raw_img_info']):
            info['gsd_m'] = image['gsd_m']
        return info

    def _with_offsets(self, raw_data_info: dict, annotations: list[dict[str, Any]]) -> dict:
        info = super().parse_data_info(raw_data_info | {'raw_ann_info': []})
        for annotation, height_m in zip(annotations, self._heights_m(annotations), strict=True):
            whole = annotation | {'bbox': annotation.get('building_bbox') or annotation['bbox']}
            known = {'offset': offset_px(annotation) or (math.nan, math.nan), 'height_m': height_m}
            one = super().parse_data_info(raw_data_info | {'raw_ann_info': [whole]})  # mmdet may leave it out
            info['instances'] += [instance | known for instance in one['instances']]
        return info

    def _buildings(self, annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        drawn = [
            annotation
            for annotation in annotations
            if annotation['category_id'] in self.cat_ids and annotation.get('segmentation')
        ]
        return [
            {'segmentation': annotation['segmentation'], 'height_m': height_m, 'ignored': bool(annotation['iscrowd'])}
            for annotation, height_m in zip(drawn, self._heights_m(drawn), strict=True)
        ]

    def _heights_m(self, annotations: list[dict[str, Any]]) -> list[float]:
        """NaN where unknown."""
        try:
            return known_heights_m(annotation.get('building_height') for annotation in annotations).tolist()
        except TypeError as error:
            raise ValueError(f'{self.ann_file}: "building_height" of an annotation: {error}') from error
