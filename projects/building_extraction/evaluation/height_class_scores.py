"""Scores of buildings per height class, for mmengine's evaluator."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmengine.registry import METRICS

from projects.reporting.number_format import finite_or_none, fixed
from projects.reporting.tables import Table
from projects.training.score_line import describes_scores

from ..height_classes import OVERALL
from .height_class_counts import FN, FP, TP, Counts, count_image
from .height_class_metric import HeightClassMetric
from .height_class_samples import read_labels, read_objects
from .object_matching import MIN_IOU, Objects


@METRICS.register_module()
class HeightClassScores(HeightClassMetric):
    """IoU, precision, recall and F1 of building pixels and buildings, of all and of each height class.

    The counts are those of all images together, not means over images. See `count_image` for what belongs to which
    class. Of segmentors, the objects are the connected parts of the predicted mask: buildings that touch are found as
    one, which the scores of objects say. Of detectors, they are the instances from `score_threshold` on, and a pixel
    is building if one of them covers it.

    What is labelled and what is found: see `read_labels` and `read_objects`. In an image that could not be read,
    nothing is found.

    Scores, in percent: `building/f1`, `/iou`, `/precision`, `/recall`, the same with `object_` of buildings, NaN where
    there is nothing to divide by; `building/CLASS/f1` and so on of each class, where they are defined; and `aAcc`,
    `mIoU` and `mAcc` of building and background as mmseg's IoUMetric has them, but not rounded.

    With `out_file` the counts of each image stand there as well, so that intervals can be drawn over images.

    Args:
        score_threshold: Instances of a detector with lower scores are left out.
        min_object_px: Smallest object that counts as one, see `count_image`.
        **kwargs: Of `HeightClassMetric`.
    """

    def __init__(self, score_threshold: float = 0.5, min_object_px: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.score_threshold = score_threshold
        self.min_object_px = min_object_px

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count a batch; one entry of `results` for each image, so that mmengine can drop those that pad a batch."""
        for sample in data_samples:
            labels = read_labels(sample)
            objects = Objects.of_masks([], labels.ignored)
            if not sample.get('unreadable', False):
                objects = read_objects(sample, labels.ignored, self.score_threshold)
            counts = count_image(
                objects, labels.ids, labels.heights_m, labels.ignored, self.classes, self.min_object_px
            )
            self.results.append((str(sample.get('img_path', '')), counts))

    def compute_metrics(self, results: list[tuple[str, Counts]]) -> dict[str, float]:
        """Score all images together; logs a table and writes `out_file`.

        Args:
            results: Path and counts of each image, of all processes; mmengine calls this on the first.

        Returns:
            The scores by name.
        """
        total = sum((counts for _, counts in results), Counts.nothing(len(self.classes.names_with_unknown)))
        table = {OVERALL: score(total.pixels.sum(0), total.objects.sum(0))}
        for index, name in enumerate(self.classes.names_with_unknown):
            if total.pixels[index].any() or total.objects[index].any():
                table[name] = score(total.pixels[index], total.objects[index])
        both = score_both(total)
        print_log('\n' + self._format(table, total), logger='current')
        self._write(results, total, table, both)
        scores = both | {f'building/{key}': value for key, value in table.pop(OVERALL).items()}
        for name, values in table.items():
            scores |= {f'building/{name}/{key}': value for key, value in values.items() if not math.isnan(value)}
        return scores

    def _write(
        self,
        results: Sequence[tuple[str, Counts]],
        total: Counts,
        table: dict[str, dict[str, float]],
        both: dict[str, float],
    ) -> None:
        self.write(
            {
                'limits_m': list(self.classes.limits_m),
                'min_object_px': self.min_object_px,
                'scores': {
                    name: {key: finite_or_none(value) for key, value in row.items()} for name, row in table.items()
                },
                'miou': finite_or_none(both['mIoU']),
                'counts': total.by_name(self.classes),
                'background_pixels': total.background,
                'images': {name: counts.pixels_by_name(self.classes) for name, counts in results},
            }
        )

    def _format(self, table: dict[str, dict[str, float]], total: Counts) -> str:
        """Scores per class as text, with how many buildings were labelled."""
        at_least = f', of at least {self.min_object_px} px' if self.min_object_px > 1 else ''
        columns = list(table[OVERALL])
        labeled = dict(zip(self.classes.names_with_unknown, total.objects[:, [TP, FN]].sum(1).tolist(), strict=True))
        labeled[OVERALL] = sum(labeled.values())
        rows = [[name, str(labeled[name]), *(fixed(row[column]) for column in columns)] for name, row in table.items()]
        names = ['', 'buildings', *(column.replace('_', ' ') for column in columns)]
        caption = f'Buildings, in percent (objects: from IoU {MIN_IOU:g}{at_least})'
        return Table(caption, names, rows, numeric=names[1:]).text()


@describes_scores
def describe_buildings(scores: dict[str, float]) -> str:
    """E.g. 'building F1 62.1 (IoU 45.0, objects 30.2; low 51.0, high 40.7)'; empty without scores of buildings."""
    if 'building/f1' not in scores:
        return ''
    names = [name.split('/')[1] for name in scores if name.startswith('building/') and name.endswith('/f1')]
    classes = ', '.join(f'{name} {scores[f"building/{name}/f1"]:.1f}' for name in names if name != 'f1')
    return (
        f'building F1 {scores["building/f1"]:.1f} (IoU {scores["building/iou"]:.1f}, objects '
        f'{scores["building/object_f1"]:.1f}{"; " + classes if classes else ""})'
    )


def ratio(part: float, whole: float) -> float:
    """A share; NaN of nothing."""
    return part / whole if whole else math.nan


def score(pixels: np.ndarray, objects: np.ndarray) -> dict[str, float]:
    """Scores in percent of true and false positives and false negatives.

    Args:
        pixels: (3,) of pixels.
        objects: (3,) of buildings.

    Returns:
        iou, precision, recall, f1 of pixels, and object_precision, object_recall, object_f1.
    """
    scores = {}
    for prefix, counts in (('', pixels), ('object_', objects)):
        tp, fp, fn = (int(counts[index]) for index in (TP, FP, FN))
        if not prefix:
            scores['iou'] = 100 * ratio(tp, tp + fp + fn)
        scores[f'{prefix}precision'] = 100 * ratio(tp, tp + fp)
        scores[f'{prefix}recall'] = 100 * ratio(tp, tp + fn)
        scores[f'{prefix}f1'] = 100 * ratio(2 * tp, 2 * tp + fp + fn)
    return scores


def score_both(total: Counts) -> dict[str, float]:
    """`aAcc`, `mIoU` and `mAcc` of building and background in percent, as mmseg's IoUMetric defines them.

    A mean is that of the classes for which the score is defined.
    """
    tp, fp, fn = total.pixels.sum(0).tolist()
    ious = [ratio(tp, tp + fp + fn), ratio(total.background, total.background + fp + fn)]
    recalls = [ratio(tp, tp + fn), ratio(total.background, total.background + fp)]
    right = tp + total.background
    return {'aAcc': 100 * ratio(right, right + fp + fn), 'mIoU': 100 * _mean(ious), 'mAcc': 100 * _mean(recalls)}


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return ratio(sum(defined), len(defined))
