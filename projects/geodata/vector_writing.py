"""Polygons as they are written: GeoPackage, GeoJSON, FlatGeobuf, GeoParquet, PMTiles, with a style for QGIS beside."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from projects.command_line import POLYGON_FORMATS, UsageError
from projects.storage.atomic_files import replacing, write_file

from .coordinate_systems import WGS84, is_local, meters_per_unit
from .qgis_style import qgis_style
from .vector_layers import pyogrio

try:
    import geopandas
    import pandas as pd
except ImportError as error:
    raise ImportError(f"{error}; vector files need the extra 'geo': pip install -e '.[geo]'") from error

GEOJSON, PARQUET, PMTILES = '.geojson', '.parquet', '.pmtiles'
FORMATS = tuple(f'.{suffix}' for suffix in POLYGON_FORMATS)
# How each suffix is written. RFC 7946: GeoJSON in longitude and latitude on WGS 84, as every program reads it.
DRIVERS: dict[str, dict[str, Any]] = {
    '.gpkg': {'driver': 'GPKG'},
    GEOJSON: {'driver': 'GeoJSON', 'RFC7946': 'YES', 'COORDINATE_PRECISION': '9'},
    '.fgb': {'driver': 'FlatGeobuf'},
    PMTILES: {'driver': 'PMTiles'},  # brings polygons to web mercator itself
}
WEB_MERCATOR = 'EPSG:3857'
PIXEL = 'pixel'  # in `attrs` of a frame: side of the pixels that its polygons come from, in units of its system
PIXEL_M = 0.3  # where none is stated
EQUATOR_M = 2 * math.pi * 6_378_137.0  # of web mercator
TILE_UNITS = 4096  # across a vector tile, of the driver (Mapbox Vector Tile Specification 2.1, "extent")
UNITS_PER_PIXEL = 4  # at the closest zoom
ZOOMS, CLOSEST_ZOOM = 6, 22  # how many are written, and GDAL's last one
STYLES = 'layer_styles'  # the table of a GeoPackage in which QGIS looks for them


class NothingToWriteError(ValueError):
    """A format that holds one polygon at least was to hold none."""


def write_polygons(frame: geopandas.GeoDataFrame, path: str | Path) -> None:
    """Write polygons with those columns that hold a value; the file appears complete or not at all.

    Where colours can follow the columns (`qgis_style`), a .qml that QGIS loads with it stands beside.

    Args:
        frame: Polygons in a coordinate system. GeoJSON is written in EPSG:4326, as RFC 7946 demands, and PMTiles in web
            mercator, so closely that a quarter of a pixel (`PIXEL`) is kept.
        path: With one of `FORMATS`, in an existing folder. A file of that name is replaced.

    Raises:
        ValueError: Another suffix, or the frame has no coordinate system, or a local one where the format has none.
        NothingToWriteError: There is no polygon, and they are PMTiles.
        ImportError: GeoParquet needs an extra.
    """
    path = Path(path)
    suffix = check_writable(path)
    if len(frame):
        frame = frame.dropna(axis='columns', how='all')
    if frame.crs is None:
        raise ValueError(f'cannot write {path.name}: the polygons have no coordinate system; set frame.crs first')
    if suffix in (GEOJSON, PMTILES) and is_local(frame.crs):
        raise ValueError(f'cannot write {path.name}: {frame.crs.name!r} is a local system; choose .gpkg')
    if suffix == PMTILES and not len(frame):
        raise NothingToWriteError(f'{path.name} is not written: there is no polygon, and PMTiles hold one at least')
    options: dict[str, Any] = {'NAME': path.stem, **_zooms(frame)} if suffix == PMTILES else {}
    if suffix == GEOJSON:
        frame = frame.to_crs(WGS84)
    with replacing(path) as temporary:
        if suffix == PARQUET:
            from .geoparquet import write_geoparquet  # needs an extra

            write_geoparquet(frame, temporary)
        else:
            _write_layer(frame, temporary, path.stem, **options)
    if (style := qgis_style(frame.columns)) is not None:
        write_file(path.with_suffix('.qml'), style)


def write_layers(layers: Mapping[str, geopandas.GeoDataFrame], path: str | Path) -> None:
    """Write several layers of polygons, with all their columns; the file appears complete or not at all.

    The styles of `qgis_style` are in the file: QGIS looks for one beside it only where there is one layer.

    Args:
        layers: By their names, in this order; in coordinate systems.
        path: `.gpkg` in an existing folder. A file of that name is replaced.

    Raises:
        UsageError: Another suffix.
        ValueError: A frame has no coordinate system.
    """
    path = Path(path)
    if check_writable(path) != '.gpkg':
        raise UsageError(f'cannot write {path.name}: expected a name that ends in .gpkg, which holds several layers')
    if unplaced := [name for name, frame in layers.items() if frame.crs is None]:
        raise ValueError(f'cannot write {path.name}: {unplaced[0]} has no coordinate system; set frame.crs first')
    styles = {name: style for name, frame in layers.items() if (style := qgis_style(frame.columns)) is not None}
    with replacing(path) as temporary:
        for number, (name, frame) in enumerate(layers.items()):
            _write_layer(frame, temporary, name, append=number > 0)
        if styles:
            table = pd.DataFrame({'f_table_name': list(styles), 'styleQML': list(styles.values())})
            empty = dict.fromkeys(('f_table_catalog', 'f_table_schema', 'styleSLD', 'description', 'owner', 'ui'), '')
            table = table.assign(f_geometry_column='geom', styleName='buildings', useAsDefault=True, **empty)
            table['update_time'] = pd.Timestamp.now(tz='UTC')
            pyogrio.write_dataframe(table, temporary, layer=STYLES, append=True, driver='GPKG', FID='id')


def check_writable(path: str | Path) -> str:
    """Refuse a file that `write_polygons` could not write, before there is work to lose; its suffix in small letters.

    Raises:
        FileNotFoundError: Its folder does not exist.
        ImportError: GeoParquet needs an extra.
        UsageError: Its suffix names no format.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        accepted = f'{", ".join(FORMATS[:-1])} or {FORMATS[-1]}'
        raise UsageError(f'cannot write {path.name}: expected a name that ends in {accepted}')
    if suffix == PARQUET:
        from . import geoparquet  # noqa: F401 (needs an extra)
    if not path.parent.is_dir():
        raise FileNotFoundError(f'cannot write {path}: the folder {path.parent} does not exist')
    return suffix


def _write_layer(frame: geopandas.GeoDataFrame, path: Path, layer: str, append: bool = False, **options: Any) -> None:
    several = bool((frame.geom_type == 'MultiPolygon').any())
    kind = {'geometry_type': 'MultiPolygon' if several else 'Polygon', 'promote_to_multi': several}
    kind |= {'append': True} if append else {}
    pyogrio.write_dataframe(frame, path, layer=layer, **kind, **DRIVERS[path.suffix.lower()], **options)


def _zooms(frame: geopandas.GeoDataFrame) -> dict[str, str]:
    """The widest and the closest zoom of tiles: at the closest a unit of a tile is a quarter of a pixel at most."""
    west, south, east, north = frame.total_bounds
    x, y = (west + east) / 2, (south + north) / 2
    pixel = frame.attrs.get(PIXEL) or PIXEL_M / meters_per_unit(frame.crs, np.array([(x, y)]))[0, 0]
    points = geopandas.GeoSeries.from_xy([x, x + pixel], [y, y], crs=frame.crs).to_crs(WEB_MERCATOR)
    units = EQUATOR_M / points.iloc[0].distance(points.iloc[1]) * UNITS_PER_PIXEL
    closest = min(max(math.ceil(math.log2(units / TILE_UNITS)), 0), CLOSEST_ZOOM)
    return {'MINZOOM': str(max(closest - ZOOMS + 1, 0)), 'MAXZOOM': str(closest)}
