"""COCO evaluation in C++."""

import contextlib
import gc
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmengine.registry import METRICS
from pycocotools import mask as coco_masks
from torch import Tensor

from projects.pixels.run_lengths import encode_masks
from projects.reporting.notices import say_once
from projects.reporting.number_format import NOTHING, fixed
from projects.reporting.tables import Table
from projects.storage.atomic_files import write_file

from .annotation_findings import Findings
from .annotations import category_ids, read_annotations
from .score_line import SUMMARY, TITLES, describe_scores


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Without looking for cycles, of which there are none, through all objects of a process at every 700 new ones."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@METRICS.register_module()
class CocoScores(BaseMetric):
    """Box and mask AP as COCO defines them (https://cocodataset.org/#detection-eval), by faster-coco-eval.

    The scores have the names that mmdet's CocoMetric gives them and equal pycocotools'. Ground truth is read by
    `annotations.read_annotations`, as in training. An unreadable image counts as one without detections.

    Args:
        ann_file: COCO annotation file.
        metric: 'bbox', 'segm' or both.
        classwise: Also log the AP of every class.
        outfile_prefix: Write the detections to `PREFIX.bbox.json` and `PREFIX.segm.json`, COCO's result format.

    Raises:
        ValueError: If `metric` is unknown, or the file lists annotations of which none can be scored.
    """

    default_prefix = 'coco'

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = 'bbox',
        classwise: bool = False,
        outfile_prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device='gpu')  # through the process group; 'cpu' means files in the current folder
        self.kinds = [metric] if isinstance(metric, str) else list(metric)
        unknown = sorted(set(self.kinds) - set(TITLES))
        if unknown:
            raise ValueError(f'metric {unknown} is unknown; known: {sorted(TITLES)}')
        self.ann_file = ann_file
        self.classwise = classwise
        self.outfile_prefix = outfile_prefix
        if outfile_prefix is not None:
            Path(outfile_prefix).parent.mkdir(parents=True, exist_ok=True)
        content, findings = self._read(ann_file)
        if all(annotation['iscrowd'] for annotation in content['annotations']):
            message = f'{ann_file} holds nothing to score. {findings.why_unused(content["annotations"])}'
            if findings.num_annotations:
                raise ValueError(message)
            say_once(message)  # detections can be written for images whose objects are unknown
        copies = [{**annotation} for annotation in content['annotations']]  # the data set may hold these very records
        self.ground_truth = COCO(content | {'annotations': copies})
        if 'segm' in self.kinds:
            for annotation in self.ground_truth.anns.values():
                annotation['segmentation'] = self.ground_truth.annToRLE(annotation)

    @classmethod
    def output_options(cls, out: str) -> dict[str, str]:
        """Options with which it writes what it finds to `out`, as `tools/test.py --out` asks for."""
        return {'outfile_prefix': out}

    def _read(self, ann_file: str) -> tuple[dict[str, Any], Findings]:
        return read_annotations(ann_file, masks='segm' in self.kinds)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect the detections of a batch; masks are kept as run lengths."""
        for sample in data_samples:
            predicted = sample['pred_instances']
            number = 0 if sample.get('unreadable') else len(predicted['scores'])
            boxes = predicted['bboxes'][:number].double().cpu().numpy().copy()
            boxes[:, 2:] -= boxes[:, :2]
            result = {'image_id': sample['img_id'], 'bbox': boxes}
            result['score'] = predicted['scores'][:number].tolist()
            result['label'] = predicted['labels'][:number].tolist()
            if 'segm' in self.kinds:
                result['segm'] = _encode(predicted['masks'][:number])
            self.results.append(result)

    @_without_collection()
    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score the detections of all images.

        Args:
            results: What `process` collected.

        Returns:
            'bbox_mAP', 'bbox_mAP_50', … and the same for 'segm', in [0, 1]; -1 where there is no object to find.
        """
        logger = MMLogger.get_current_instance()
        classes = self.dataset_meta['classes']
        self.cat_ids = category_ids(self.ground_truth.dataset, classes)
        if unknown := {result['image_id'] for result in results} - set(self.ground_truth.imgs):
            raise ValueError(f'{self.ann_file} lacks images of the data set, such as id {min(unknown)}; name its file')
        scores: dict[str, float] = {}
        for kind in self.kinds:
            detections = self._detections(results, kind)
            if self.outfile_prefix is not None:
                self._write(detections, f'{self.outfile_prefix}.{kind}.json')
            evaluation = self._evaluate(kind, detections)
            for name, value in zip(SUMMARY, evaluation.stats, strict=False):
                scores[f'{kind}_{name}'] = round(float(value), 6)
            if self.classwise:
                logger.info('\n' + _class_table(kind, evaluation, classes, self.cat_ids))
        logger.info(describe_scores(scores))
        return scores

    def _detections(self, results: list[dict], kind: str) -> list[dict]:
        """All detections in COCO's result format."""
        field = {'bbox': 'bbox', 'segm': 'segmentation'}[kind]
        detections = []
        for result in results:
            shapes = result[kind] if kind == 'segm' else result[kind].tolist()
            for label, score, shape in zip(result['label'], result['score'], shapes, strict=True):
                detections.append(
                    {
                        'image_id': result['image_id'],
                        'category_id': self.cat_ids[label],
                        'score': score,
                        field: shape,
                    }
                )
        return detections

    def _write(self, detections: list[dict], path: str) -> None:
        """Write detections with the ids that the annotation file has."""
        in_file = {
            f'{key}_id': {entry['id']: entry['id_in_file'] for entry in entries if 'id_in_file' in entry}
            for key, entries in (
                ('image', self.ground_truth.dataset['images']),
                ('category', self.ground_truth.dataset['categories']),
            )
        }
        written = [
            found | {key: ids.get(found[key], found[key]) for key, ids in in_file.items()} for found in detections
        ]
        write_file(path, json.dumps(written))

    def _evaluate(self, kind: str, detections: list[dict]) -> COCOeval_faster:
        found = COCO()
        if kind == 'segm':
            areas = [float(coco_masks.area(one['segmentation'])) for one in detections]
        else:
            areas = [one['bbox'][2] * one['bbox'][3] for one in detections]
        for number, (detection, area) in enumerate(zip(detections, areas, strict=True), 1):
            detection.update(id=number, area=area, iscrowd=0)
        found.dataset = self.ground_truth.dataset | {'annotations': detections}
        found.createIndex()
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = _Evaluation(self.ground_truth, found, iouType=kind)
            evaluation.params.catIds = self.cat_ids
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation


class _Evaluation(COCOeval_faster):
    """Overlaps of masks by pycocotools from run lengths as they are; faster-coco-eval makes others of each before."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.compute_rle = False

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803 (of the base)
        """(detections by score, objects) of an image and a class."""
        if self.params.iouType == 'bbox':
            return super().computeIoU(imgId, catId)
        objects, found = (
            data.get_instances([imgId], [catId], True)[0][0] for data in (self.gt_dataset, self.dt_dataset)
        )
        found = sorted(found, key=lambda one: -one['score'])[: self.params.maxDets[-1]]
        codes = ([one['segmentation'] for one in many] for many in (found, objects))
        return coco_masks.iou(*codes, [one['iscrowd'] for one in objects])


def _encode(masks: Any) -> list[dict]:
    if hasattr(masks, 'run_lengths'):  # `PlacedMasks`
        return masks.run_lengths()
    return encode_masks(masks.cpu().numpy() if isinstance(masks, Tensor) else np.asarray(masks))


def _class_table(kind: str, evaluation: Any, classes: Sequence[str], cat_ids: Sequence[int]) -> str:
    """AP of every class: mean precision over IoU thresholds and recalls, all areas, most detections."""
    precision = evaluation.eval['precision'][:, :, :, 0, -1]  # (IoU, recall, class)
    position = {category_id: index for index, category_id in enumerate(evaluation.params.catIds)}  # sorted by id
    rows = []
    for name, category_id in zip(classes, cat_ids, strict=True):
        values = precision[:, :, position[category_id]]
        valid = values[values > -1]
        rows.append([name, fixed(100 * valid.mean()) if valid.size else NOTHING])
    return Table('', ['class', f'{TITLES[kind]} AP'], rows).text()
