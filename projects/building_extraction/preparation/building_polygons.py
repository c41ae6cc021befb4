"""Building outlines from GeoJSON, checked, mended and placed in the web-mercator grid."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape

from projects.geodata.degrees import place_on_earth
from projects.geodata.polygonal import mend_outlines

from .web_mercator import to_grid, to_lon_lat_deg

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
    """Read the polygons of a GeoJSON file in longitude and latitude (EPSG:4326).

    Outlines are mended (`mend_outlines`) and placed on one side of the date line (`place_on_earth`). Features that
    cannot be used are left out, for themselves alone, and counted.

    Args:
        path: A FeatureCollection.

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: It is no FeatureCollection, is in another coordinate system, or holds no polygon.
    """
    counts: Counter[str] = Counter()
    outlines = np.array([_outline(feature, counts) for feature in _read_collection(path)['features']], dtype=object)
    outlines, strays = place_on_earth(outlines, path, f'the file is probably in a projected system. {_convert(path)}')
    grid = shapely.transform(outlines, to_grid)
    mended, mending = mend_outlines(grid)
    mending['without geometry'] -= counts['malformed'] + strays
    counts += mending + Counter({'beyond longitude and latitude': strays})
    used = ~shapely.is_missing(mended)
    if not used.any():
        raise ValueError(f'{path} holds no polygon: {dict(counts) or "it has no features"}')
    counts['used'] = int(used.sum())
    return BuildingPolygons(mended[used], np.flatnonzero(used), dict(counts))


def _outline(feature: Any, counts: Counter[str]) -> shapely.Geometry | None:
    """The geometry of a feature in two dimensions, with closed rings; None: there is none, or it is malformed."""
    geometry = feature.get('geometry') if isinstance(feature, dict) else 'no feature'
    if geometry is None:
        return None
    try:
        with np.errstate(invalid='ignore'):  # NaN, which is counted later
            return shapely.force_2d(shape(geometry))
    except (TypeError, ValueError, LookupError, AttributeError, shapely.errors.ShapelyError):
        counts['malformed'] += 1
        return None


def _convert(path: Path) -> str:
    return f'Convert it first: ogr2ogr -t_srs EPSG:4326 -lco RFC7946=YES converted.geojson {path.name}'


def _read_collection(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f'the labels file {path} does not exist or is not a file')
    text = path.read_bytes()
    if not text.strip():
        raise ValueError(f'the labels file {path} is empty; expected a GeoJSON FeatureCollection')
    try:
        # NaN as infinity, which equals itself, so that a ring that begins with it is closed
        collection = json.loads(text.decode('utf-8-sig'), parse_constant=lambda _: math.inf)
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
                f'{_convert(path)}'
            )
    return collection
