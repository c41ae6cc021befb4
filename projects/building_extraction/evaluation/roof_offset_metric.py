"""Scores of roofs, their offsets and heights per height class, for mmengine's evaluator."""

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
from .bonai_evaluation import PublishedCounts, published_counts, published_scores, published_table
from .height_class_metric import HeightClassMetric
from .object_matching import MIN_IOU
from .roof_comparison import WAYS, Detections, LabeledBuildings, RoofComparison, compare_roofs
from .roof_offset_scores import (
    LOCATED_M,
    LONG_PX,
    Scores,
    class_confusion,
    detection_scores,
    height_scores,
    offset_scores,
)
from .roof_samples import read_found, read_labeled

PREDICTED = WAYS[0]
TITLES = dict(zip(WAYS, ('predicted', 'zero', "tile's median", 'true direction'), strict=True))


@METRICS.register_module()
class RoofOffsetMetric(HeightClassMetric):
    """Roofs, the footprints that their offsets lead to, offsets and heights, of all and of each height class.

    Of each sample it reads `pred_instances`: `masks` (N, H, W) of roofs, `scores`, `offsets` (N, 2) in pixels, roof -
    footprint, right and down, and `heights_m` (N,); and `gt_instances`: `masks` in the coordinates of the image file,
    `offsets` and `heights_m`. Offsets and heights that are absent or NaN are unknown; a detector without offsets is
    scored as one that says zero. Metres need the size of a pixel: `gsd_m`, here or in the sample.

    What is matched with what, and what is ignored: see `compare_roofs`. Counts are those of all images together. The
    scores: see `detection_scores`, `offset_scores` and `height_scores`. They are named `roofs/roof_f1`,
    `roofs/footprint_ap50`, `roofs/epe_px`, `roofs/located_recall`, `roofs/height_mae_m` and so on, of a class
    `roofs/CLASS/…`; of the three offsets to compare with, `roofs/zero/…`, `roofs/median/…` and `roofs/direction/…`: no
    offset at all, the median of the tile's true ones, and predicted lengths in the tile's true direction. BONAI's
    published evaluation is `roofs/published/…`, see `bonai_evaluation` for what is wrong with it.

    Args:
        gsd_m: Metres per pixel of all images. By default, what the sample says (`gsd_m` in the `meta_keys` of the test
            pipeline); where neither does, there are no scores in metres.
        score_threshold: Instances with lower scores are left out of everything but average precision.
        min_object_px: Smallest roof that counts.
        **kwargs: Of `HeightClassMetric`.

    Raises:
        ValueError: `gsd_m` is no length.
    """

    out_suffix = '.roofs.json'

    def __init__(
        self, gsd_m: float | None = None, score_threshold: float = 0.5, min_object_px: int = 16, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if gsd_m is not None and not 0 < gsd_m < math.inf:
            raise ValueError(f'gsd_m = {gsd_m}: expected metres per pixel, more than 0')
        self.gsd_m = gsd_m
        self.score_threshold = score_threshold
        self.min_object_px = min_object_px

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare a batch; one entry of `results` for each image, so that mmengine can drop those that pad a batch."""
        for sample in data_samples:
            labeled, ignored, shape = read_labeled(sample)
            found = labeled.select(np.zeros(len(labeled), bool))
            if not sample.get('unreadable', False):
                found = read_found(sample, shape)
            gsd_m = self.gsd_m or float(sample.get('gsd_m', math.nan))
            comparison = compare_roofs(found, labeled, ignored, self.classes, gsd_m, self.min_object_px)
            self.results.append((comparison, published_counts(found, labeled)))

    def compute_metrics(self, results: list[tuple[RoofComparison, PublishedCounts]]) -> dict[str, float]:
        """Score all images together; logs tables and writes `out_file`.

        Args:
            results: What `process` found of each image, of all processes; mmengine calls this on the first.

        Returns:
            The scores by name; of classes those that are defined.
        """
        number = len(self.classes.names_with_unknown)
        comparisons = [comparison for comparison, _ in results]
        total = RoofComparison(
            LabeledBuildings.join(one.buildings for one in comparisons),
            Detections.join((one.roofs for one in comparisons), number),
            {way: Detections.join((one.footprints[way] for one in comparisons), number) for way in WAYS},
        )
        groups = {OVERALL: None} | {
            name: index
            for index, name in enumerate(self.classes.names_with_unknown)
            if total.roofs.labels[index] or (total.roofs.classes == index).any()
        }
        table = {name: {way: self._score(total, chosen, way) for way in WAYS} for name, chosen in groups.items()}
        published = published_scores([counts for _, counts in results])
        print_log('\n' + '\n\n'.join([*self._format(table, total), published_table(published)]), logger='current')
        self._write(table, published, total)
        scores = {f'roofs/{key}': value for key, value in table[OVERALL][PREDICTED].items()}
        for name, ways in table.items():
            for way, row in ways.items():
                parts = ['roofs', *([name] if name != OVERALL else []), *([way] if way != PREDICTED else [])]
                scores |= {'/'.join([*parts, key]): value for key, value in row.items() if not math.isnan(value)}
        return scores | {f'roofs/published/{key}': value for key, value in published.items()}

    def _score(self, total: RoofComparison, chosen: int | None, way: str) -> Scores:
        """All scores of a class with the offsets of a way; what does not depend on these stands with the first."""
        own = np.full(len(total.buildings.classes), True) if chosen is None else total.buildings.classes == chosen
        buildings = LabeledBuildings(*(column[own] for column in vars(total.buildings).values()))
        footprints = detection_scores(total.footprints[way], self.score_threshold, chosen)
        scores = {f'footprint_{key}': value for key, value in footprints.items()}
        scores |= offset_scores(buildings, way, self.score_threshold)
        if way == PREDICTED:
            roofs = detection_scores(total.roofs, self.score_threshold, chosen)
            heights = height_scores(buildings, self.score_threshold)
            scores |= {f'roof_{key}': value for key, value in roofs.items()}
            scores |= {f'height_{key}': value for key, value in heights.items()}
        return scores

    def _confusion(self, buildings: LabeledBuildings) -> np.ndarray:
        """Height classes of matched labels, in rows, and of what was predicted for them."""
        compared = (buildings.scores >= self.score_threshold) & np.isfinite(buildings.found_heights_m)
        compared &= np.isfinite(buildings.heights_m)
        found = self.classes.index(buildings.found_heights_m[compared])
        return class_confusion(buildings.classes[compared], found, len(self.classes.names))

    def _write(self, table: dict[str, dict[str, Scores]], published: Scores, total: RoofComparison) -> None:
        def known(row: Scores) -> dict[str, float | None]:
            return {key: finite_or_none(value) for key, value in row.items()}

        self.write(
            {
                'limits_m': list(self.classes.limits_m),
                'score_threshold': self.score_threshold,
                'min_object_px': self.min_object_px,
                'min_iou': MIN_IOU,
                'located_m': LOCATED_M,
                'scores': {name: {way: known(row) for way, row in ways.items()} for name, ways in table.items()},
                'height_classes': {
                    'names': list(self.classes.names),
                    'confusion': self._confusion(total.buildings).tolist(),
                },
                'published': known(published),
            }
        )

    def _format(self, table: dict[str, dict[str, Scores]], total: RoofComparison) -> list[str]:
        """Tables of roofs and footprints, of offsets, of heights and of their classes."""
        labels = dict(zip(self.classes.names_with_unknown, total.roofs.labels.tolist(), strict=True))
        labels[OVERALL] = sum(labels.values())
        kinds = [f'{kind}_{name}' for kind in ('roof', 'footprint') for name in ('f1', 'precision', 'recall', 'ap50')]
        rows = [
            [name, str(labels[name]), *(fixed(ways[PREDICTED][kind]) for kind in kinds)] for name, ways in table.items()
        ]
        measures = ['precision', 'recall', 'AP50']
        columns = ['', 'labels', 'roof F1', *measures, 'footprint F1', *measures]
        above = f'one to one from IoU {MIN_IOU:g}, score {self.score_threshold:g}, {self.min_object_px} px'
        caption = f'Roofs and footprints, in percent ({above})'
        texts = [Table(caption, columns, rows, numeric=columns[1:]).text(ruled=False)]
        texts.append(_offset_table(table).text(ruled=False))
        heights = {name: ways[PREDICTED] for name, ways in table.items() if ways[PREDICTED]['height_compared']}
        if heights:
            texts.append(_height_table(heights).text())
            names = list(self.classes.names)
            confusion = self._confusion(total.buildings).tolist()
            rows = [[name, *map(str, row)] for name, row in zip(names, confusion, strict=True)]
            columns = ['', *(f'found {name}' for name in names)]
            texts.append(Table('Height classes of matched buildings', columns, rows, numeric=columns[1:]).text())
        return texts


def _offset_table(table: dict[str, dict[str, Scores]]) -> Table:
    errors = [f'epe{part}_{unit}' for unit in ('px', 'm') for part in ('', '_median', '_p90')]

    def row(name: str, way: str, scores: Scores) -> list[str]:
        cells = [name, TITLES[way], *(f'{scores[count]:.0f}' for count in ('matched', 'unmatched'))]
        cells += [fixed(scores[error], 2) for error in errors]
        cells += [fixed(scores['length_error_m'], 2, signed=True), fixed(scores['angle_error_deg'])]
        return cells + [fixed(scores[kind]) for kind in ('located_recall', 'footprint_f1', 'footprint_ap50')]

    columns = ['', 'offset', 'found', 'missed', 'px', 'median', 'p90', 'm', 'median', 'p90', 'length', 'angle']
    columns += ['located', 'F1', 'AP50']
    rows = [row(name, way, scores) for name, ways in table.items() for way, scores in ways.items()]
    unknown = table[OVERALL][PREDICTED]['unknown']
    caption = (
        f'Offsets of found roofs ({unknown:.0f} labels of unknown offset left out): how far the end point is off, in '
        'pixels and in metres: mean,\nmedian, 90th percentile; found less true length in metres; angle in degrees '
        f'(from {LONG_PX:g} px on). Located: share of all labels\nwhose footprint is found within {LOCATED_M:g} m. F1 '
        "and AP50 of footprints. To compare with: no offset, the tile's true median, and\n"
        'predicted lengths in its true direction'
    )
    return Table(caption, columns, rows, numeric=columns[2:])


def _height_table(heights: dict[str, Scores]) -> Table:
    counts, errors = ('compared', 'unmatched', 'not_predicted', 'unknown'), ('mae_m', 'median_m', 'bias_m', 'rmse_m')
    rows = [
        [
            name,
            *(f'{row[f"height_{count}"]:.0f}' for count in counts),
            *(fixed(row[f'height_{error}'], 2, signed=error == 'bias_m') for error in errors),
        ]
        for name, row in heights.items()
    ]
    columns = ['', *(count.replace('_', ' ') for count in counts), 'MAE m', 'median m', 'bias m', 'RMSE m']
    return Table('Heights, found less true', columns, rows, numeric=columns[1:])


@describes_scores
def describe_roofs(scores: dict[str, float]) -> str:
    """E.g. 'footprint F1 62.1 (AP50 58.0, located 70.3), offsets 2.41 px off (zero 6.30), heights 3.2 m'."""
    if 'roofs/footprint_f1' not in scores:
        return ''
    f1, ap50, located = (scores[f'roofs/{name}'] for name in ('footprint_f1', 'footprint_ap50', 'located_recall'))
    where = '' if math.isnan(located) else f', located {located:.1f}'
    text = f'footprint F1 {fixed(f1)} (AP50 {fixed(ap50)}{where})'
    if not math.isnan(scores['roofs/epe_px']):
        text += f', offsets {scores["roofs/epe_px"]:.2f} px off (zero {scores["roofs/zero/epe_px"]:.2f})'
    if not math.isnan(scores['roofs/height_mae_m']):
        text += f', heights {scores["roofs/height_mae_m"]:.1f} m off'
    return text
