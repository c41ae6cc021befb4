"""An alignment as a table per height class, for a JSON file, and as a picture before and after."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely

from projects.geodata.raster_files import open_raster
from projects.geodata.vector_files import geopandas
from projects.reporting.figures import hide_axes, new_figure, write_figure
from projects.reporting.number_format import fixed
from projects.reporting.palette import BLUE, ORANGE, VERMILLION
from projects.reporting.tables import Table

from ...height_classes import HeightClasses
from .align import Alignment
from .aligned_labels import BY_BOTH, BY_LEAN, BY_SHADOW, KEPT, MOVED, NO_EVIDENCE, STATED, STATUSES
from .placement import NEAR_M

PICTURE_M = 200.0  # side of what the picture shows
PICTURE_PX = 900
COLORS = {MOVED: BLUE, KEPT: ORANGE, NO_EVIDENCE: VERMILLION}


def class_table(roofs: geopandas.GeoDataFrame, classes: HeightClasses) -> Table:
    """Counts and lengths per height class, and where the classes come from."""
    counted = {source: int((roofs['height_from'] == source).sum()) for source in (STATED, BY_LEAN, BY_SHADOW, BY_BOTH)}
    seen = ', '.join(f'{count} from {source}' for source, count in counted.items() if count and source != STATED)
    sources = f'{counted[STATED]} from stated heights, {seen or "none from the image"} (height ± 2 standard deviations)'
    rows = []
    groups = {'all': np.ones(len(roofs), bool)}
    groups |= {name: (roofs['height_class'] == name).to_numpy() for name in classes.names_with_unknown}
    for name, group in groups.items():
        own = roofs[group]
        if not len(own):
            continue
        counts = [str(int((own['status'] == status).sum())) for status in STATUSES]
        told = own[own['status'] != NO_EVIDENCE]
        lengths_m = np.hypot(told['dx_m'], told['dy_m'])
        middle = (
            [fixed(float(np.median(lengths_m)), 2), fixed(float(told['confidence'].median()), 2)]
            if len(told)
            else ['', '']
        )
        leans = told['lean_m'].median()
        rows.append([name, str(len(own)), *counts, *middle, fixed(float(leans), 2) if np.isfinite(leans) else ''])
    columns = ['', 'labels', *STATUSES, 'median move m', 'median confidence', 'median lean m']
    return Table(f'height classes: {sources}', columns, rows, numeric=columns[1:])


def summary(alignment: Alignment, roofs: geopandas.GeoDataFrame, classes: HeightClasses) -> dict[str, Any]:
    """All that was found of the views, as JSON can hold it."""
    views = []
    for block, result in zip(alignment.blocks, alignment.results, strict=True):
        row: dict[str, Any] = {'window_px': list(block.window_px), 'labels': len(block.rows)}
        if result is not None:
            tangent = result.zero.tangent
            row |= {
                'shift_m': np.round(result.line.shift_m + result.zero.along_m * result.line.direction, 3).tolist(),
                'azimuth_deg': round(result.line.azimuth_deg, 2),
                'has_lean': result.has_lean,
                'azimuth_is_told_from_its_opposite': result.line.is_directed,
                'off_nadir_deg': round(float(np.degrees(np.arctan(tangent))), 2) if np.isfinite(tangent) else None,
                'zero_of_leans': result.zero.source,
                'heights': result.zero.obstacle or 'determined',
                'scatter_m': round(result.placement.scatter_m, 3),
                'evidence_per_building': round(result.line.evidence, 2),
                'uses_model': result.uses_model,
            }
            if np.isfinite(result.held_out[0]):
                row['held_out_edge_scores'] = {'image': result.held_out[0], 'with_model': result.held_out[1]}
        views.append(row)
    counts = {status: int((roofs['status'] == status).sum()) for status in STATUSES}
    return {
        'unit': f'metres on the ground, label to roof; confidence: probability that the roof is within {NEAR_M:g} m',
        'gsd_m': alignment.gsd_m,
        'notes': alignment.notes,
        'counts': counts,
        'views': views,
    }


def as_text(alignment: Alignment, roofs: geopandas.GeoDataFrame, classes: HeightClasses) -> str:
    """Notes, the views, and the table."""
    lines = [f'NOTE: {note}' for note in alignment.notes]
    for view in summary(alignment, roofs, classes)['views'][:8]:
        if 'shift_m' not in view:
            continue
        east, north = view['shift_m']
        angle = '' if view['off_nadir_deg'] is None else f', {view["off_nadir_deg"]:.1f}° off nadir'
        known = '' if view['azimuth_is_told_from_its_opposite'] else ' or its opposite'
        lean = f'roofs lean towards {view["azimuth_deg"]:.0f}°{known}' if view['has_lean'] else 'no lean is seen'
        lines.append(
            f'view of {view["labels"]} labels: shift {east:.2f} m east, {north:.2f} m north ({view["zero_of_leans"]}); '
            f'{lean}{angle}; scatter {view["scatter_m"]:.2f} m; heights: '
            f'{view["heights"]}'
        )
    return '\n'.join([*lines, class_table(roofs, classes).text(ruled=False)])


def write_picture(
    alignment: Alignment, roofs: geopandas.GeoDataFrame, image: Path, bands: tuple[int, ...] | None, path: Path
) -> None:
    """Write the place with the most labels as it was, and as it is, over the image.

    Args:
        alignment: Of `align`.
        roofs: Of `aligned_labels`.
        image: The image.
        bands: Of it.
        path: PNG file; it appears complete or not at all.
    """
    with open_raster(image, bands=bands) as raster:
        gsd_m, (width, height), inverse = raster.gsd_m(), raster.size_px, ~raster.transform
        before = alignment.labels.geometry.to_numpy()
        middles = shapely.get_coordinates(shapely.centroid(before))
        places = np.column_stack([inverse.a * middles[:, 0] + inverse.c, inverse.e * middles[:, 1] + inverse.f])
        side = int(min(max(PICTURE_M / gsd_m, 64), width, height))
        cells, counts = np.unique((places // side).astype(int), axis=0, return_counts=True)
        column, row = (cells[counts.argmax()] * side).clip(0, (width - side, height - side)).tolist()
        rgb = np.ascontiguousarray(raster.read(column, row, side, side)[0])
    scale = max(PICTURE_PX / side, 1.0)
    picture = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    figure = new_figure(16, 8.6)
    axes = figure.subplots(1, 2)
    for drawn, shapes, title in zip(
        axes, (before, roofs.geometry.to_numpy()), ('labels as given', 'roofs as aligned'), strict=True
    ):
        drawn.imshow(picture)
        for ring, owner in zip(*shapely.get_rings(shapes, return_index=True), strict=True):
            x, y = shapely.get_coordinates(ring).T
            line = ((inverse.a * x + inverse.c - column) * scale, (inverse.e * y + inverse.f - row) * scale)
            color = COLORS[roofs['status'].iloc[owner]] if shapes is not before else ORANGE
            drawn.plot(*line, color=color, linewidth=1.2)
        drawn.set(title=title, xlim=(0, picture.shape[1]), ylim=(picture.shape[0], 0))
        hide_axes(drawn)
    shown = {status: COLORS[status] for status in STATUSES}
    figure.suptitle(
        ', '.join(f'{name}: {"blue" if c == BLUE else "orange" if c == ORANGE else "red"}' for name, c in shown.items())
    )
    write_figure(figure, path)
