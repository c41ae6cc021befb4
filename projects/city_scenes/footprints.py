"""Building footprints with heights from a vector file -> a city."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from mmengine.logging import print_log

from .buildings import Buildings
from .city import City
from .outliers import leave_out_outliers

HEIGHT_COLUMNS = (
    'structure_height_m', 'building_height_m', 'building_height', 'height_m', 'height', 'bldg_height', 'bldgheight',
    'measured_height', 'measuredheight', 'roof_height', 'max_height', 'hgt', 'hoehe',
)  # fmt: skip
"""Usual names of heights above ground, whatever their case; the first that a file has is taken."""
STRUCTURE_COLUMNS = ('structure_id', 'building_id', 'bldg_id')
METER_TOLERANCE = 0.01
ROAD_WIDTH_M = 8.0
"""Of roads that a file has as lines: two lanes, and room to park."""


def read_city(
    path: str | Path,
    height_column: str | None = None,
    structure_column: str | None = None,
    *,
    assume_crs: str | None = None,
    layer: str | None = None,
    roads: str | Path | None = None,
    vegetation: str | Path | None = None,
) -> City:
    """Reads footprints; rows may be tiers of one building that overlap.

    Buildings of unknown height are kept: they are drawn two floors high (`city.UNKNOWN_HEIGHT_M`), and labels, tables
    and scores keep them as of unknown height. A file in degrees, feet or a stretched system such as web mercator is
    reprojected to its UTM zone. Outlines that are misplaced or larger than any building are left out and named.

    Args:
        path: GeoPackage, GeoJSON, Shapefile or another file that GDAL reads.
        height_column: Heights above ground of each row's top (`read_heights`); None: the first of `HEIGHT_COLUMNS` that
            there is.
        structure_column: Equal for the tiers of one building; None: the first of `STRUCTURE_COLUMNS`, and if there is
            none, each row is a building.
        assume_crs: Coordinate system of a file that states none.
        layer: Which one of the file's; None: the only one of polygons.
        roads: Vector file of carriageways, or of lines that become roads of `ROAD_WIDTH_M`; None: the renderer invents
            streets.
        vegetation: Vector file of parks and gardens; None: the renderer invents them.

    Returns:
        The city, in a metric coordinate system.

    Raises:
        ImportError: The extra `geo` is not installed.
        FileNotFoundError: There is no such file.
        ValueError: It holds no polygons, a column is missing, or no column has a usual name.
    """
    from projects.geodata.coordinate_systems import meters_per_unit
    from projects.geodata.vector_files import column_names, read_buildings

    from .ground_layers import read_ground

    columns = column_names(path, layer)
    height_column = height_column or _usual(columns, HEIGHT_COLUMNS)
    if height_column is None:
        raise ValueError(
            f'{path} has no column with a usual name for heights; its columns are {", ".join(columns) or "none"}. '
            'Say which one holds metres above ground (height_column, --height-column).'
        )
    structure_column = structure_column or _usual(columns, STRUCTURE_COLUMNS)
    frame = read_buildings(path, height_column, structure_column, assume_crs=assume_crs, layer=layer)
    if not len(frame):
        raise ValueError(f'{path} holds no polygons; expected building footprints.')
    center = np.median(shapely.get_coordinates(frame.representative_point().to_numpy()), axis=0)
    meters = meters_per_unit(frame.crs, center[None])[0]
    kept = leave_out_outliers(Path(path), frame.geometry.to_numpy(), frame.structure.to_numpy(), meters)
    if not kept.all():
        frame = frame[kept]
        frame = frame.assign(structure=np.unique(frame.structure, return_inverse=True)[1])
    if np.abs(meters - 1).max() > METER_TOLERANCE:
        frame = frame.to_crs(frame.estimate_utm_crs())
    unknown = int(frame.height_m.isna().sum())
    print_log(
        f'{path}: heights from {height_column!r} ({unknown} of {len(frame)} unknown), '
        f'{frame.structure.nunique()} buildings' + (f' by {structure_column!r}' if structure_column else ''),
        logger='current',
    )
    crs, bounds_m = frame.crs.to_string(), tuple(frame.total_bounds.tolist())
    widths_m = {'roads': ROAD_WIDTH_M, 'vegetation': None}
    files = {name: file for name, file in (('roads', roads), ('vegetation', vegetation)) if file is not None}
    ground = {
        name: read_ground(file, crs, bounds_m, width_m=widths_m[name], assume_crs=assume_crs)
        for name, file in files.items()
    }
    buildings = Buildings(frame.geometry.to_numpy(), frame.height_m.to_numpy(), frame.structure.to_numpy(), crs)
    return City(buildings, **ground, files={name: str(file) for name, file in ({'footprints': path} | files).items()})


def latitude_deg(city: City) -> float | None:
    """Latitude of the middle of a city; None for an invented place."""
    if city.buildings.crs is None:
        return None
    from projects.geodata.coordinate_systems import WGS84, Transformer

    bounds = city.bounds_m
    middle = (bounds[:, :2].min(axis=0) + bounds[:, 2:].max(axis=0)) / 2
    return float(Transformer.from_crs(city.buildings.crs, WGS84, always_xy=True).transform(*middle)[1])


def _usual(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of these names that is a column, whatever its case."""
    by_name = {column.lower(): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), None)
