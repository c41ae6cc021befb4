"""Which layer of a vector file holds the polygons, and what stands in it."""

import math
import struct
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import WARNING
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from mmengine.logging import print_log

from .coordinate_systems import is_local, parse_crs
from .degrees import are_degrees

try:
    import pyogrio
except ImportError as error:
    raise ImportError(f"{error}; vector files need the extra 'geo': pip install -e '.[geo]'") from error

Bounds = tuple[float, float, float, float]

CUT = ('PMTiles', 'MVT', 'MBTiles')  # formats of GDAL whose tiles cut polygons
SHOWN_NAMES, SHOWN_WARNINGS = 20, 3
LATIN = 'ISO-8859-1'  # which GDAL assumes of Shapefiles that state no encoding, and in which any bytes are text
NOT_A_NUMBER, INFINITE = (struct.pack('<d', value) for value in (math.nan, math.inf))  # in WKB


@dataclass(frozen=True)
class VectorLayer:
    """One layer of a vector file.

    Attributes:
        path: The file.
        name: Of the layer.
        columns: Their names, besides the geometry.
        crs: Coordinate system as the file states it; None: it states none.
        bounds: West, south, east and north in `crs` of all that is there; None: unknown, or nothing is.
        features: How many there are.
        driver: GDAL's name of the format.
        encoding: Of its text, which is tried first; None: the one that the file states.
    """

    path: Path
    name: str
    columns: list[str]
    crs: str | None
    bounds: Bounds | None
    features: int
    driver: str
    encoding: str | None = None

    @property
    def lacks_crs(self) -> bool:
        """Whether it states no coordinate system, or none that can be: degrees that are none, as GeoJSON's default."""
        if self.crs is None:
            return True
        crs = parse_crs(self.crs)
        return is_local(crs) or (
            crs.is_geographic and self.bounds is not None and not are_degrees(np.array(self.bounds), 360)
        )

    def read(self, columns: Sequence[str], bbox: Bounds | None) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        """Geometries and values.

        Args:
            columns: Those that are read.
            bbox: Only what meets it, in `crs`; None: everything.

        Returns:
            (N,) Geometries with closed rings, None where there is none that can be read; (N,) of each column; and (N,)
            the features' numbers, as GDAL counts them (FID). In the file's order.

        Raises:
            ValueError: The file is broken.
        """
        chosen = list(dict.fromkeys(columns))
        if self.driver == 'Parquet':
            from .geoparquet import GeoParquet

            return GeoParquet(self.path).read(chosen, bbox)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            meta, numbers, geometries, values = _tried(
                pyogrio.raw.read,
                self.path,
                layer=self.name,
                columns=chosen,
                bbox=bbox,
                force_2d=True,
                encoding=self.encoding,
                return_fids=True,
            )
        said = list(dict.fromkeys(str(one.message) for one in caught if one.category is RuntimeWarning))
        for message in said[:SHOWN_WARNINGS]:
            print_log(f'{self.path}: {message}', logger='current', level=WARNING)
        table = dict(zip(meta['fields'], values, strict=True))
        if geometries is None:
            geometries = np.full(len(values[0]) if values else 0, None)
        with np.errstate(invalid='ignore'):  # NaN, which is left out and counted later
            outlines = np.atleast_1d(shapely.from_wkb(geometries, on_invalid='fix'))
            for number in np.flatnonzero(shapely.is_missing(outlines)).tolist():
                if geometries[number] is not None:  # a ring that starts with NaN does not end where it starts
                    closed = geometries[number].replace(NOT_A_NUMBER, INFINITE)
                    outlines[number] = shapely.from_wkb(closed, on_invalid='fix')
        if bbox is not None and self.driver != 'GeoJSON':  # a spatial index has an order of its own
            order = np.argsort(numbers, kind='stable')
            return outlines[order], {name: values[order] for name, values in table.items()}, numbers[order]
        return outlines, table, numbers


def open_layer(path: str | Path, name: str | None = None, option: str = '--layer') -> VectorLayer:
    """Find the polygons of a file: the layer of that name, or the only one of polygons.

    Args:
        path: Any file that GDAL reads as vectors.
        name: Of a layer; None: there must be one alone that can hold polygons, and has features.
        option: That names the layer on the command line, for the message.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no vectors, no such layer, no polygons, or several layers of them.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'the vector file {path} does not exist')
    if _is_parquet(path):
        return _open_parquet(path, name)
    types = {str(layer): kind for layer, kind in _tried(pyogrio.list_layers, path).tolist()}
    listed = ', '.join(f'{layer!r} ({kind or "no geometry"})' for layer, kind in list(types.items())[:SHOWN_NAMES])
    if name is not None and name not in types:
        raise ValueError(f'{path} has no layer {name!r}; its layers are {listed}')
    if name is not None:
        return _described(path, name)
    layers = [_described(path, layer) for layer, kind in types.items() if _may_hold_polygons(kind)]
    if not layers:
        raise ValueError(f'{path} holds no layer of polygons; its layers are {listed or "none"}')
    filled = [layer for layer in layers if layer.features] or layers[:1]
    if len(filled) > 1:
        raise ValueError(
            f'{path} holds {len(filled)} layers of polygons; say which one holds the buildings with {option}: {listed}'
        )
    if len(types) > 1:
        print_log(f'{path} holds the layers {listed}; {filled[0].name!r} is read', logger='current')
    return filled[0]


def _is_parquet(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open('rb') as file:
        return file.read(4) == b'PAR1'


def _open_parquet(path: Path, name: str | None) -> VectorLayer:
    from .geoparquet import DRIVER, GeoParquet  # needs an extra; GDAL's wheel reads none

    file = GeoParquet(path)
    if name not in (None, path.stem):
        raise ValueError(f'{path} has no layer {name!r}; its layers are {path.stem!r}')
    if file.kinds and not any(map(_may_hold_polygons, file.kinds)):
        raise ValueError(f'{path} holds no layer of polygons, but {", ".join(file.kinds)}')
    return VectorLayer(path, path.stem, file.columns, file.crs, file.bounds(), file.features, DRIVER)


def _may_hold_polygons(kind: str | None) -> bool:
    """Whether a layer of a type that GDAL names, such as 'Point' or '3D Measured Polygon', may hold polygons."""
    if kind is None:
        return False
    return 'Polygon' in kind or not any(word in kind for word in ('Point', 'String', 'Curve'))


def _described(path: Path, name: str) -> VectorLayer:
    options = {'layer': name, 'force_feature_count': True, 'force_total_bounds': True}
    info, encoding = _tried(pyogrio.read_info, path, **options), None
    if info['encoding'] == LATIN:
        encoding = 'UTF-8'
        info = _tried(pyogrio.read_info, path, encoding=encoding, **options)
    if info['driver'] in CUT:
        raise ValueError(
            f'{path} ({info["driver"]}) is for looking at: its tiles cut buildings in parts; expected the file that it '
            'was made of, such as GeoPackage, FlatGeobuf or GeoParquet'
        )
    bounds, columns = info['total_bounds'], [str(field) for field in info['fields']]
    bounds = None if bounds is None else tuple(map(float, bounds))
    return VectorLayer(path, name, columns, info['crs'], bounds, int(info['features']), info['driver'], encoding)


def _tried(function: Callable, path: Path, **options: Any) -> Any:
    """What GDAL reads; where text is not in the encoding that the file states, in one in which any bytes are text."""
    try:
        try:
            return function(path, **options)
        except UnicodeDecodeError:
            return function(path, **options | {'encoding': LATIN})
    except RuntimeError as error:  # of which pyogrio's errors are
        reason = ' '.join(str(error).split())
        raise ValueError(
            f'{path} is no vector file that GDAL reads ({reason}); expected GeoPackage, GeoJSON, '
            'FlatGeobuf, GeoParquet, Shapefile or another'
        ) from error
