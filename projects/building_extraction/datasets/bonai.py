"""BONAI (Wang et al., arXiv 2204.13637): roofs, footprints and heights of buildings seen off nadir.

Data and format: https://github.com/jwwangchn/BONAI. In its files, roof = footprint + offset, in pixels.
"""

import logging
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmengine.registry import DATASETS, METRICS
from mmseg.datasets import BaseSegDataset

from projects.training.annotation_findings import Findings
from projects.training.annotations import forget_annotations, read_annotations
from projects.training.coco_scores import CocoScores
from projects.training.datasets import SurvivingDataset

from ..bonai_annotations import check_label, contradiction_px, labeled
from .building_instances import BuildingInstanceDataset
from .building_masks import BuildingMaskDataset

TOLERANCE_PX = 1.0  # coordinates are rounded


@DATASETS.register_module()
class BonaiInstanceDataset(BuildingInstanceDataset):
    """BONAI's COCO layer as an instance set of roofs, footprints or buildings.

    The share of annotations whose roof is not footprint + offset is logged.

    Args:
        label: 'roof', 'footprint' or 'building'; see `labeled`.
        **kwargs: Of `CheckedCocoDataset`.

    Raises:
        ValueError: `label` is none of them, or the annotations lack BONAI's polygons.
    """

    def __init__(self, *args: Any, label: str = 'roof', **kwargs: Any) -> None:
        self.label = check_label(label)
        super().__init__(*args, **kwargs)

    def _needs_masks(self) -> None:
        return None  # they are made of roofs and footprints

    def load_data_list(self) -> list[dict]:
        self._contradictions_px: list[float] = []
        self._left_out: list[Any] = []
        data_list = super().load_data_list()
        if self._left_out:
            self._report_left_out()
        distances_px = np.array(self._contradictions_px)
        known = distances_px[np.isfinite(distances_px)]
        if len(known):
            wrong = known > TOLERANCE_PX
            print_log(
                f'{self.ann_file}: roof is not footprint + offset, by more than {TOLERANCE_PX:g} px, in {wrong.sum()} '
                f'of {len(known)} annotations ({wrong.mean():.1%}); the largest difference is {known.max():.1f} px',
                logger='current',
                level=logging.WARNING if wrong.any() else logging.INFO,
            )
        return data_list

    def _report_left_out(self) -> None:
        message = (
            f'{self.ann_file}: {len(self._left_out)} of {len(self._contradictions_px)} annotations lack "roof_mask", '
            f'or both "footprint_mask" and "offset" (ids {self._left_out[:5]})'
        )
        if len(self._left_out) == len(self._contradictions_px):
            raise ValueError(
                f"{message}: this is not BONAI's COCO layer. tools/prepare_data.py bonai makes it from the per-image "
                'layer; BuildingInstanceDataset reads plain COCO files'
            )
        print_log(f'{message}; left out', logger='current', level=logging.WARNING)

    def parse_data_info(self, raw_data_info: dict) -> dict:
        chosen = []
        for annotation in raw_data_info['raw_ann_info']:
            self._contradictions_px.append(contradiction_px(annotation))
            relabeled = labeled(annotation, self.label)
            if relabeled is None:
                self._left_out.append(annotation.get('id'))
                continue
            if self.with_offsets and (whole := labeled(annotation, 'building')):
                relabeled['building_bbox'] = whole['bbox']
            chosen.append(relabeled)
        return super().parse_data_info({**raw_data_info, 'raw_ann_info': chosen})


@DATASETS.register_module()
class BonaiDataset(SurvivingDataset, BaseSegDataset):
    """BONAI's COCO layer as a semantic set, whose masks `DrawBuildingMask` draws from the polygons.

    What is a crowd in the instance set is ignored here, where no building covers it.

    Args:
        label: 'roof', 'footprint' or 'building'; see `labeled`.
        data_prefix: Folder of the images, `img_path`.
        source: Where the data set can be had; quoted when it is missing.
        **kwargs: Of mmseg's `BaseSegDataset`, and `max_unreadable_share`.

    Raises:
        FileNotFoundError, ValueError: As `BonaiInstanceDataset` does.
    """

    METAINFO = BuildingMaskDataset.METAINFO

    def __init__(self, *args: Any, label: str = 'roof', source: str = '', **kwargs: Any) -> None:
        self.label, self.source = check_label(label), source
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        instances = BonaiInstanceDataset(
            label=self.label,
            ann_file=self.ann_file,
            data_prefix={'img': self.data_prefix['img_path']},
            source=self.source,
            max_unreadable_share=self.max_unreadable_share,
            test_mode=True,  # with buildings, and with images that are absent
            serialize_data=False,
        )
        forget_annotations()  # no metric of masks reads them
        if not self.test_mode and all(one['ignored'] for info in instances.data_list for one in info['buildings']):
            raise ValueError(f'{self.ann_file} leaves nothing to train on. {instances.why_unused}')
        fixed = {'seg_fields': [], 'label_map': self.label_map, 'reduce_zero_label': self.reduce_zero_label}
        keys = ('img_path', 'img_id', 'height', 'width', 'buildings')
        return [{key: info[key] for key in keys} | fixed for info in instances.data_list]


@METRICS.register_module()
class BonaiScores(CocoScores):
    """Box and mask AP against one label of BONAI's COCO layer; see `CocoScores`.

    Args:
        label: 'roof', 'footprint' or 'building', as in the data set.
        **kwargs: Of `CocoScores`.
    """

    def __init__(self, *args: Any, label: str = 'roof', **kwargs: Any) -> None:
        self.label = check_label(label)
        super().__init__(*args, **kwargs)

    def _read(self, ann_file: str) -> tuple[dict[str, Any], Findings]:
        content, findings = read_annotations(ann_file, masks=None)
        relabeled = (labeled(annotation, self.label) for annotation in content['annotations'])
        content['annotations'] = [annotation for annotation in relabeled if annotation is not None]
        return content, findings
