"""Scores of buildings per height class, for mmengine's evaluator."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.fileio import put_text
from mmengine.logging import print_log
from mmengine.registry import METRICS
from rich.console import Console
from rich.table import Table

from ..height_classes import HeightClasses
from .height_class_counts import FN, FP, TP, Counts, count_image
from .height_class_samples import read_labels, read_objects
from .object_matching import Objects

OVERALL = 'overall'


@METRICS.register_module()
class HeightClassScores(BaseMetric):
    """IoU, precision, recall and F1 of building pixels and buildings, of all and of each height class.

    The counts are those of all images together, not means over images. See `count_image` for what belongs to which
    class. Of segmentors, the objects are the connected parts of the predicted mask: buildings that touch are found as
    one, which the scores of objects say. Of detectors, they are the instances above `score_threshold`, and a pixel is
    building if one of them covers it.

    What is labelled and what is found: see `read_labels` and `read_objects`. In an image that could not be read,
    nothing is found.

    Scores, in percent, NaN where nothing was labelled and nothing found: `building/f1`, `/iou`, `/precision`,
    `/recall`, the same with `object_` of buildings, `building/CLASS/f1` and so on of each class that occurs, and
    `mIoU`, the mean of the IoU of building and background as mmseg's IoUMetric has it.

    Args:
        limits_m: Heights between the classes.
        names: Names of the classes, one more than there are limits.
        score_threshold: Instances of a detector with lower scores are left out.
        min_object_px: Smallest object that counts as one, see `count_image`.
        out_file: Where to write scores and counts as JSON.
        **kwargs: Of mmengine's `BaseMetric`.
    """

    default_prefix = None

    def __init__(
        self,
        limits_m: Sequence[float] = HeightClasses().limits_m,
        names: Sequence[str] = HeightClasses().names,
        score_threshold: float = 0.5,
        min_object_px: int = 16,
        out_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classes = HeightClasses(tuple(limits_m), tuple(names))
        self.score_threshold = score_threshold
        self.min_object_px = min_object_px
        self.out_file = out_file

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            labels = read_labels(sample)
            objects = read_objects(sample, labels.ignored, self.score_threshold)
            if sample.get('unreadable', False):
                objects = Objects.of_masks([], labels.ignored)
            self.results.append(
                count_image(objects, labels.ids, labels.heights_m, labels.ignored, self.classes, self.min_object_px)
            )

    def compute_metrics(self, results: list[Counts]) -> dict[str, float]:
        total = sum(results, Counts.nothing(len(self.classes.names_with_unknown)))
        table = {OVERALL: score(total.pixels.sum(0), total.objects.sum(0))}
        for index, name in enumerate(self.classes.names_with_unknown):
            if total.pixels[index].any() or total.objects[index].any():
                table[name] = score(total.pixels[index], total.objects[index])
        tp, fp, fn = total.pixels.sum(0).tolist()
        ious = [ratio(tp, tp + fp + fn), ratio(total.background, total.background + fp + fn)]
        miou = 100 * float(np.nanmean(ious)) if not np.isnan(ious).all() else float('nan')
        print_log('\n' + _format(table), logger='current')
        if self.out_file is not None and is_main_process():
            put_text(json.dumps(self._content(total, table, miou), indent=1), self.out_file)
        scores = {'mIoU': miou}
        for name, values in table.items():
            prefix = 'building/' if name == OVERALL else f'building/{name}/'
            scores |= {prefix + key: value for key, value in values.items()}
        return scores

    def _content(self, total: Counts, table: dict[str, dict[str, float]], miou: float) -> dict[str, Any]:
        return {
            'limits_m': list(self.classes.limits_m),
            'scores': {name: {k: _finite(v) for k, v in values.items()} for name, values in table.items()},
            'miou': _finite(miou),
            'counts': total.by_name(self.classes),
            'background_pixels': total.background,
        }


def ratio(part: float, whole: float) -> float:
    """A share; NaN of nothing."""
    return part / whole if whole else float('nan')


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


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else value


def _format(table: dict[str, dict[str, float]]) -> str:
    """Scores per class as text."""
    grid = Table()
    columns = list(table[OVERALL])
    for column in ('%', *columns):
        grid.add_column(column.replace('_', ' '), justify='left' if column == '%' else 'right')
    for name, values in table.items():
        grid.add_row(name, *('–' if np.isnan(values[column]) else f'{values[column]:.1f}' for column in columns))
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(grid)
    return capture.get().rstrip()
