"""Scores of polygons: as a table, for a JSON file, and as a picture."""

from pathlib import Path
from typing import Any

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.path import Path as Outline

from projects.reporting.figures import add_legend, new_figure, style_axes, write_figure
from projects.reporting.number_format import NOTHING, finite_or_none, fixed
from projects.reporting.palette import BLUE, GRAY, GREEN, VERMILLION
from projects.reporting.tables import Table

from ..height_classes import HeightClasses
from .object_matching import MIN_IOU
from .polygon_comparison import OVERLAP_M2, PolygonComparison
from .polygon_files import ScoredFiles
from .polygon_measures import RIGHT_DEG

PERCENT = ('f1', 'precision', 'recall', 'iou', 'boundary_iou', 'boundary_ap', 'c_iou')


def summary(result: ScoredFiles, classes: HeightClasses, band_m: float) -> dict[str, Any]:
    """All scores, as JSON can hold them, null where one is undefined."""
    table = result.comparison.statistics(classes)
    return {
        'unit': 'metres on the ground; percent; corner_ratio is found to true',
        'min_iou': MIN_IOU,
        'band_m': band_m,
        'height_classes': {'names': list(classes.names), 'limits_m': list(classes.limits_m), 'from': result.classes},
        'scores_from': result.scores,
        'features': result.features,
        'invalid': result.invalid,
        'beyond_the_true_extent': result.beyond,
        'area': result.area,
        'outside_of_the_area': {'found': result.left_out[0], 'labels': result.left_out[1]},
        'scores': {name: {key: finite_or_none(value) for key, value in row.items()} for name, row in table.items()},
    }


def as_text(content: dict[str, Any]) -> str:
    """Tables per height class, and what else is to be known about the files.

    Args:
        content: What `summary` returns.
    """
    scores = content['scores']
    rows = [
        [
            name,
            *(f'{row[key]:.0f}' for key in ('labels', 'found', 'matched')),
            *(fixed(row[key]) for key in PERCENT),
        ]
        for name, row in scores.items()
    ]
    columns = [
        '',
        'labels',
        'found',
        'matched',
        'F1',
        'precision',
        'recall',
        'IoU',
        'boundary IoU',
        'boundary AP',
        'C-IoU',
    ]
    caption = (
        f'Polygons in percent, matched one to one from IoU {MIN_IOU:g}; boundary: within {content["band_m"]:g} m of '
        'outlines; IoU, boundary IoU and C-IoU of matched ones'
    )
    first = Table(caption, columns, rows, numeric=columns[1:]).text(ruled=False)
    rows = [[name, *_outline_cells(row)] for name, row in scores.items()]
    columns = ['', 'PoLiS m', 'median', 'corners found / true', 'right angles %', 'true ones %', 'overlapping %']
    columns += ['holes', 'kept %']
    caption = (
        f'Outlines: PoLiS, corners and holes of matched ones; right angles (±{RIGHT_DEG:g}°) of all corners; overlaps '
        f'with others of the file by more than {OVERLAP_M2:g} m²'
    )
    second = Table(caption, columns, rows, numeric=columns[1:]).text(ruled=False)
    valid = 100 * (1 - content['invalid'] / content['features']) if content['features'] else float('nan')
    notes = [
        f'height classes from {content["height_classes"]["from"]}; scores from {content["scores_from"]}; '
        f'{fixed(valid)} % of {content["features"]} outlines are valid as they are'
    ]
    if content['area'] is not None:
        outside = content['outside_of_the_area']
        notes.append(
            f'of the area {content["area"]}: {outside["labels"]} true polygons lie outside of it, '
            f'{outside["found"]} that were found do, or belong to those; they do not count'
        )
    if content['beyond_the_true_extent']:
        notes.append(
            f'NOTE: {content["beyond_the_true_extent"]} polygons lie outside of the extent of the true ones and count '
            'as false alarms'
        )
    return '\n\n'.join([first, second, '\n'.join(notes)])


def _outline_cells(row: dict[str, float | None]) -> list[str]:
    cells = [fixed(row['polis_m'], 3), fixed(row['polis_median_m'], 3), fixed(row['corner_ratio'], 2)]
    cells += [fixed(row[key]) for key in ('right_angles', 'true_right_angles', 'overlapping')]
    return [*cells, f'{row["holes"]:.0f}' if row['holes'] else NOTHING, fixed(row['holes_kept'])]


def write_picture(comparison: PolygonComparison, classes: HeightClasses, path: Path) -> None:
    """Write a map of what was matched, missed and wrong, and how far matched outlines are off, per height class.

    Args:
        comparison: What was found.
        classes: Height classes, which set the colours of the histogram.
        path: PNG file in an existing folder; it appears complete or not at all.
    """
    figure = new_figure(16, 9)
    places, distances = figure.subplots(1, 2, width_ratios=[2, 1])
    matched = comparison.label_of >= 0
    missed = np.full(len(comparison.labeled), True)
    missed[comparison.label_of[matched]] = False
    kinds = {
        'true outline': (comparison.labeled[~missed], GRAY, 0.0),
        'matched': (comparison.found[matched], GREEN, 0.35),
        'missed': (comparison.labeled[missed], BLUE, 0.6),
        'wrong': (comparison.found[~matched], VERMILLION, 0.6),
    }
    handles = []
    for name, (polygons, color, opacity) in kinds.items():
        _draw(places, polygons, color, opacity)
        handles.append(Line2D([], [], color=color, linewidth=6, label=f'{name}: {len(polygons)}'))
    places.set_aspect('equal')
    places.autoscale_view()
    places.set(xlabel='m east', ylabel='m north')
    polis_m = comparison.polis_m[matched]
    if len(polis_m):
        bins = np.linspace(0, max(np.percentile(polis_m, 99), 1e-3), 41).tolist()
        for index, name in enumerate(classes.names_with_unknown):
            own = polis_m[comparison.classes[matched] == index]
            if len(own):
                label = f'{name}: {len(own)}, median {np.median(own):.2f} m'
                style = {'histtype': 'step', 'linewidth': 2, 'color': classes.colors[name], 'label': label}
                distances.hist(own, bins, weights=np.full(len(own), 1 / len(own)), **style)
        distances.legend()
    distances.set(xlabel='PoLiS in m', ylabel='share of the class')
    for axes in (places, distances):
        style_axes(axes)
    add_legend(figure, handles)
    write_figure(figure, path)


def _draw(axes: Axes, polygons: np.ndarray, color: str, opacity: float) -> None:
    """Polygons with their holes, outlined and filled."""
    outlines = []
    for polygon in shapely.orient_polygons(polygons):
        rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(shapely.get_parts(polygon))]
        outlines.append(Outline.make_compound_path(*map(Outline, rings)))
    filling = to_rgba(color, opacity)
    axes.add_collection(PathCollection(outlines, facecolors=[filling], edgecolors=color, linewidths=0.7))
