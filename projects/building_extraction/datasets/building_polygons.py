"""Building outlines from GeoJSON, checked, mended and placed in the web-mercator grid."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape

from projects.building_extraction.datasets.web_mercator import to_grid, to_lon_lat_deg
from projects.geodata.polygonal import polygonal

# What a `crs` member may say (upper case, last part of a URN, URL or AUTHORITY:CODE) for longitude, latitude on WGS 84.
WGS84_NAMES = frozenset({'4326', 'CRS84', 'WGS84', 'WGS 84'})


@dataclass
class BuildingPolygons:
    """Valid building outlines of one GeoJSON file.

    Attributes:
        polygons: (N,) Polygons and MultiPolygons in grid units (see `web_mercator`).
        features: (N,) Position of each one's feature in the file, from 0.
        counts: How many features were used as they are, repaired, or left out, by reason.
    """

    polygons: np.ndarray
    features: np.ndarray
    counts: dict[str, int]

    def extent(self) -> str:
        """Longitude and latitude range, for messages."""
        return describe_extent(shapely.total_bounds(self.polygons))


def describe_extent(grid_bounds: np.ndarray) -> str:
    """Bounds in grid units as text in degrees."""
    (west, north), (east, south) = to_lon_lat_deg(np.asarray(grid_bounds).reshape(2, 2))
    return f'longitude {west:.6f} to {east:.6f}, latitude {south:.6f} to {north:.6f}'


def read_building_polygons(path: Path) -> BuildingPolygons:
    """Read the Polygon and MultiPolygon features of a GeoJSON file in longitude and latitude (EPSG:4326).

    Self-intersecting outlines are repaired by `shapely.make_valid` (even-odd rule: a figure of eight becomes two
    parts). Features without geometry, of another type, malformed or without area are left out and counted.

    Args:
        path: A FeatureCollection.

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: It is no FeatureCollection, is in another coordinate system, or holds no polygon.
    """
    collection = _read_collection(path)
    counts: Counter[str] = Counter()
    polygons, features = [], []
    for number, feature in enumerate(collection['features']):
        geometry = feature.get('geometry') if isinstance(feature, dict) else 'no feature'
        if geometry is None:
            counts['without geometry'] += 1
        elif not isinstance(geometry, dict):
            counts['malformed'] += 1
        elif geometry.get('type') not in ('Polygon', 'MultiPolygon'):
            counts['not a polygon'] += 1
        elif not geometry.get('coordinates'):
            counts['without geometry'] += 1
        else:
            try:
                polygons.append(shapely.force_2d(shape(geometry)))
                features.append(number)
            except (TypeError, ValueError, LookupError, shapely.errors.ShapelyError):
                counts['malformed'] += 1
    if not polygons:
        raise ValueError(f'{path} holds no polygon: {dict(counts) or "it has no features"}')
    _check_lon_lat(path, polygons, features)

    grid = shapely.transform(np.array(polygons, dtype=object), to_grid)
    invalid = ~shapely.is_valid(grid)
    grid[invalid] = [polygonal(shapely.make_valid(polygon)) for polygon in grid[invalid]]
    solid = shapely.area(grid) > 0
    counts['without area'] = int((~solid).sum())
    counts['repaired'] = int((invalid & solid).sum())
    counts['used'] = int(solid.sum())
    if not solid.any():
        raise ValueError(f'{path} holds no polygon that has an area: {dict(counts)}')
    return BuildingPolygons(grid[solid], np.array(features)[solid], {key: n for key, n in counts.items() if n})


def _read_collection(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f'the labels file {path} does not exist or is not a file')
    text = path.read_bytes()
    if not text.strip():
        raise ValueError(f'the labels file {path} is empty; expected a GeoJSON FeatureCollection')
    try:
        collection = json.loads(text.decode('utf-8-sig'))
    except ValueError as error:
        raise ValueError(f'{path} is not JSON ({error}); expected a GeoJSON FeatureCollection') from error
    kind = collection.get('type') if isinstance(collection, dict) else type(collection).__name__
    if kind != 'FeatureCollection' or not isinstance(collection.get('features'), list):
        raise ValueError(f'{path} is not a GeoJSON FeatureCollection with a list of features (type: {kind!r})')
    crs = collection.get('crs')
    if crs is not None:
        properties = crs.get('properties') if isinstance(crs, dict) else None
        name = str(properties.get('name')) if isinstance(properties, dict) else json.dumps(crs)
        if name.upper().replace('/', ':').split(':')[-1] not in WGS84_NAMES:
            raise ValueError(
                f'{path} is in the coordinate system {name}; expected longitude and latitude (EPSG:4326, CRS84). '
                f'Convert it first: ogr2ogr -t_srs EPSG:4326 -lco RFC7946=YES converted.geojson {path.name}'
            )
    return collection


def _check_lon_lat(path: Path, polygons: list[shapely.Geometry], features: list[int]) -> None:
    coordinates, index = shapely.get_coordinates(polygons, return_index=True)
    inside = (np.abs(coordinates) <= (180, 90)).all(axis=1)  # NaN compares false
    if not inside.all():
        worst = int(np.argmin(inside))
        x, y = coordinates[worst]
        raise ValueError(
            f'{path}: feature {features[index[worst]]} (from 0) has the coordinate ({x}, {y}), which is no longitude '
            'and latitude in degrees; the file is probably in a projected system. '
            f'Convert it first: ogr2ogr -t_srs EPSG:4326 -lco RFC7946=YES converted.geojson {path.name}'
        )
