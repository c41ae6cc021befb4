"""Building outlines with heights in vector files: GeoPackage, GeoJSON, Shapefile and whatever else GDAL reads."""

from collections import Counter
from collections.abc import Sequence
from logging import INFO, WARNING
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from mmengine.logging import print_log

from .degrees import turn_towards
from .heights import read_heights
from .polygonal import ENDLESS_HOLES, mend_outlines
from .vector_layers import Bounds, VectorLayer, open_layer
from .vector_places import choose_systems, explain_miss, place_outlines, search_box
from .vector_writing import (
    FORMATS,
    PIXEL,
    NothingToWriteError,
    check_writable,
    geopandas,
    pd,
    write_layers,
    write_polygons,
)

__all__ = [
    'FORMATS',
    'PIXEL',
    'NothingToWriteError',
    'check_writable',
    'column_names',
    'geopandas',
    'pd',
    'read_buildings',
    'write_layers',
    'write_polygons',
]


def read_buildings(
    path: str | Path,
    height_column: str | None = None,
    structure_column: str | None = None,
    crs: Any = None,
    bounds: Bounds | None = None,
    *,
    assume_crs: Any = None,
    layer: str | None = None,
    columns: Sequence[str] = (),
    with_features: bool = False,
) -> geopandas.GeoDataFrame:
    """Read building polygons, mended and taken apart, one row each.

    Multipolygons are taken apart, and outlines mended (`mend_outlines`). Features that cannot be used are left out, for
    themselves alone; the log says how many, and why.

    Args:
        path: Any file that GDAL reads as vectors.
        height_column: Column with heights above ground (`read_heights`); None: all heights are unknown.
        structure_column: Column that is equal for the parts of one building; None: each feature is one.
        crs: Coordinate system to return, such as 'EPSG:28355'; None: the file's own.
        bounds: West, south, east and north in the system that is returned: only buildings that intersect it are read,
            by the file's spatial index where it has one.
        assume_crs: Coordinate system of a file that states none, or a wrong one.
        layer: Which one of the file's; None: the only one of polygons.
        columns: Others to return as they are.
        with_features: Add `feature`, the number of each row's feature in the file (FID).

    Returns:
        A frame with `geometry` (valid Polygons), `height_m` (float, NaN is unknown), `structure` (int, from 0
        without gaps) and `columns`, in the file's order; `frame.crs` is set. A file without features gives no rows.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no polygons or several layers of them, no coordinate system or a wrong one, none in
            `bounds`; a column is missing, or holds no heights.
    """
    source = open_layer(path, layer)
    wanted = [column for column in (height_column, structure_column, *columns) if column is not None]
    for column in wanted:
        if column not in source.columns:
            listed = ', '.join(map(repr, source.columns)) or 'none'
            raise ValueError(f'{path} has no column {column!r}; its columns are {listed}')
    file_crs, target_crs = choose_systems(source, assume_crs, crs)
    bbox = None if bounds is None else search_box(source, file_crs, bounds, target_crs)
    outlines, table, features = source.read(wanted, bbox)
    outlines, strays = place_outlines(outlines, source, file_crs, bounds, target_crs)
    if file_crs != target_crs:
        outlines = geopandas.GeoSeries(outlines, crs=file_crs).to_crs(target_crs).to_numpy()
    if bounds is not None and target_crs.is_geographic:
        outlines = turn_towards(outlines, (bounds[0] + bounds[2]) / 2)
    mended, counts = mend_outlines(outlines)
    counts += Counter({'without geometry': -strays, 'beyond longitude and latitude': strays})
    _report(source, len(outlines), counts)
    parts, owner = shapely.get_parts(mended, return_index=True)
    if bounds is not None:
        inside = shapely.intersects(parts, shapely.box(*bounds))
        parts, owner = parts[inside], owner[inside]
        if not len(parts):
            reason = explain_miss(source, file_crs, bounds, target_crs)
            raise ValueError(f'no building of {path} lies in the area that is needed: {reason}')
    elif len(outlines) and not len(parts):
        raise ValueError(f'{path} holds no polygon that can be used: {_listed(counts)}')
    heights_m = np.full(len(parts), np.nan)
    if height_column is not None and len(parts):
        heights_m = read_heights(table[height_column], height_column, source.path)[owner]
    structures = _number_groups(table[structure_column] if structure_column else np.arange(len(outlines)))
    return geopandas.GeoDataFrame(
        {column: table[column][owner] for column in columns}
        | {'height_m': heights_m, 'structure': _number_groups(structures[owner])}
        | ({'feature': features[owner]} if with_features else {}),
        geometry=parts,
        crs=target_crs,
    )


def column_names(path: str | Path, layer: str | None = None) -> list[str]:
    """Names of the columns of the layer that `read_buildings` reads, besides the geometry.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no polygons, or several layers of them.
    """
    return open_layer(path, layer).columns


def _report(source: VectorLayer, features: int, counts: Counter[str]) -> None:
    repaired, holes = counts['repaired'], counts[ENDLESS_HOLES]
    left_out = Counter({r: count for r, count in counts.items() if r not in ('repaired', ENDLESS_HOLES)})
    of_all = '' if features == source.features else f' in the area (of {source.features})'
    text = f'{source.path}: {features} features{of_all}, {repaired} repaired, {left_out.total()} left out'
    text += f' ({_listed(left_out)})' if left_out else ''
    text += f'; {holes} {ENDLESS_HOLES} left out, their polygons kept' * bool(holes)
    print_log(text, logger='current', level=WARNING if left_out or holes else INFO)


def _listed(counts: Counter[str]) -> str:
    return ', '.join(f'{count} {reason}' for reason, count in counts.items())


def _number_groups(values: np.ndarray) -> np.ndarray:
    """Number equal values alike, from 0 in order of appearance; each missing or blank one is a group of its own."""
    stated = np.array(values, dtype=object)
    stated[[isinstance(value, str) and not value.strip() for value in stated]] = None
    numbers = pd.factorize(stated)[0]
    missing = numbers < 0
    numbers[missing] = numbers.max(initial=-1) + 1 + np.arange(missing.sum())
    return pd.factorize(numbers)[0].astype(np.int64)
