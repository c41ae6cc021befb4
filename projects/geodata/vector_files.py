"""Building outlines with heights in vector files: GeoPackage, GeoJSON, Shapefile and whatever else GDAL reads."""

from pathlib import Path
from typing import Any

import numpy as np
import shapely
from mmengine.logging import print_log

from projects.atomic_files import replacing
from projects.geodata.coordinate_systems import parse_crs
from projects.geodata.polygonal import polygonal

try:
    import geopandas
    import pandas as pd
    import pyogrio
    from pyproj import CRS
except ImportError as error:
    raise ImportError(f"{error}; vector files need the extra 'geo': pip install -e '.[geo]'") from error

Bounds = tuple[float, float, float, float]

# How each suffix is written. RFC 7946: GeoJSON in longitude and latitude on WGS 84, as every program reads it.
DRIVERS: dict[str, dict[str, Any]] = {
    '.gpkg': {'driver': 'GPKG'},
    '.geojson': {'driver': 'GeoJSON', 'RFC7946': 'YES', 'COORDINATE_PRECISION': '9'},
}
POLYGONAL_TYPES = (3, 6, 7)  # shapely's numbers of Polygon, MultiPolygon and GeometryCollection
SHOWN_NAMES = 20


def read_buildings(
    path: str | Path,
    height_column: str | None = None,
    structure_column: str | None = None,
    crs: Any = None,
    bounds: Bounds | None = None,
    *,
    assume_crs: Any = None,
) -> geopandas.GeoDataFrame:
    """Read building polygons, mended and taken apart, one row each.

    Invalid outlines are repaired by `shapely.make_valid`, multipolygons taken apart. Features without geometry, of
    another type or without area are left out; the log says how many. Of a file with several layers the first is read.

    Args:
        path: Any file that GDAL reads as vectors.
        height_column: Column with metres above ground, numbers or text such as '12,5' or '12.5 m'; None: all heights
            are unknown. Zero, negative and infinite heights count as unknown: they are some program's mark for it.
        structure_column: Column that is equal for the parts of one building; None: each feature is one.
        crs: Coordinate system to return, such as 'EPSG:28355'; None: the file's own.
        bounds: West, south, east and north in the system that is returned: only buildings that intersect it are read,
            by the file's spatial index where it has one.
        assume_crs: Coordinate system of a file that states none, or a wrong one.

    Returns:
        A frame with `geometry` (valid Polygons), `height_m` (float, NaN is unknown) and `structure` (int, from 0
        without gaps), in the file's order; `frame.crs` is set.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no vectors or no coordinate system, a column is missing, or a height is no number.
    """
    path = Path(path)
    info = _describe(path)
    columns = [column for column in (height_column, structure_column) if column is not None]
    for column in columns:
        if column not in info['fields']:
            raise ValueError(f'{path} has no column {column!r}; its columns are {_listing(info["fields"])}')
    if assume_crs is None and info['crs'] is None:
        raise ValueError(
            f'{path} states no coordinate system; say which it is (assume_crs, --assume-crs EPSG:...) or write it '
            f'into the file: ogr2ogr -a_srs EPSG:... with_crs.gpkg {path.name}'
        )
    file_crs = parse_crs(info['crs'] if assume_crs is None else assume_crs)
    target_crs = file_crs if crs is None else parse_crs(crs)
    bbox = None if bounds is None else _reproject_bounds(bounds, target_crs, file_crs)
    table = pyogrio.read_dataframe(path, layer=info['layer_name'], columns=columns, bbox=bbox, force_2d=True)
    if not isinstance(table, geopandas.GeoDataFrame):
        raise ValueError(f'{path} holds a table without geometry; expected polygons')
    heights_m = _heights_m(table[height_column], path) if height_column else np.full(len(table), np.nan)
    structures = table[structure_column] if structure_column else np.arange(len(table))
    outlines = table.geometry.set_crs(file_crs, allow_override=True)
    _check_degrees(outlines, path)
    parts, source = _polygon_parts(outlines.to_crs(target_crs).to_numpy(), path)
    if bounds is not None:
        inside = shapely.intersects(parts, shapely.box(*bounds))
        parts, source = parts[inside], source[inside]
    return geopandas.GeoDataFrame(
        {'height_m': heights_m[source], 'structure': _number_groups(np.asarray(structures, dtype=object)[source])},
        geometry=parts,
        crs=target_crs,
    )


def column_names(path: str | Path) -> list[str]:
    """Names of the columns of a vector file's first layer, besides the geometry.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no vectors.
    """
    names: list[str] = _describe(Path(path))['fields']
    return names


def write_polygons(frame: geopandas.GeoDataFrame, path: str | Path) -> None:
    """Write polygons with their columns; the file appears complete or not at all.

    Args:
        frame: Polygons in a coordinate system. A `.geojson` is written in EPSG:4326, as RFC 7946 demands.
        path: `.gpkg` or `.geojson` in an existing folder. A file of that name is replaced.

    Raises:
        ValueError: Another suffix, or the frame has no coordinate system.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    check_writable(path)
    if frame.crs is None:
        raise ValueError(f'cannot write {path.name}: the polygons have no coordinate system; set frame.crs first')
    if suffix == '.geojson':
        frame = frame.to_crs('EPSG:4326')
    kind = 'MultiPolygon' if (frame.geom_type == 'MultiPolygon').any() else 'Polygon'
    with replacing(path) as temporary:
        pyogrio.write_dataframe(
            frame, temporary, layer=path.stem, geometry_type=kind, promote_to_multi=False, **DRIVERS[suffix]
        )


def _describe(path: Path) -> dict[str, Any]:
    """Name, columns and coordinate system of the first layer."""
    if not path.exists():
        raise FileNotFoundError(f'the vector file {path} does not exist')
    try:
        layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
        if not layers:
            raise ValueError(f'{path} holds no layer of vectors; expected polygons')
        if len(layers) > 1:
            print_log(f'{path} holds the layers {_listing(layers)}; the first is read', logger='current')
        info = pyogrio.read_info(path, layer=layers[0])
    except pyogrio.errors.DataSourceError as error:
        raise ValueError(
            f'{path} is no vector file that GDAL reads ({error}); expected GeoPackage, GeoJSON, Shapefile or another'
        ) from error
    return info | {'fields': [str(field) for field in info['fields']]}


def _listing(names: list[str]) -> str:
    rest = f' and {len(names) - SHOWN_NAMES} more' if len(names) > SHOWN_NAMES else ''
    return ', '.join(map(repr, names[:SHOWN_NAMES])) + rest if names else 'none'


def _reproject_bounds(bounds: Bounds, crs: CRS, file_crs: CRS) -> Bounds:
    """A box in the file's system that holds all of `bounds`."""
    if crs == file_crs:
        return bounds
    box = shapely.box(*bounds)
    outline = geopandas.GeoSeries([box], crs=crs).segmentize(box.length / 64).to_crs(file_crs)
    west, south, east, north = outline.total_bounds
    if not np.isfinite([west, south, east, north]).all():
        raise ValueError(
            f"the area {bounds} in {crs.to_string()} lies outside of what the labels' system, "
            f'{file_crs.to_string()}, can express; check the coordinate systems of both files'
        )
    margin = 0.01 * max(east - west, north - south)  # the sides bulge a little between the 64 points
    return west - margin, south - margin, east + margin, north + margin


def _heights_m(values: pd.Series, path: Path) -> np.ndarray:
    if values.dtype.kind not in 'iuf':
        values = values.astype('string').str.strip().str.replace(',', '.', regex=False)
        values = values.str.replace(r'\s*m$', '', regex=True).replace('', pd.NA)
    try:
        heights_m = pd.to_numeric(values).to_numpy(float, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise ValueError(f'{path}: column {values.name!r} holds something else than metres: {error}') from error
    return np.where(np.isfinite(heights_m) & (heights_m > 0), heights_m, np.nan)


def _check_degrees(outlines: geopandas.GeoSeries, path: Path) -> None:
    if outlines.crs.is_geographic and len(outlines):
        west, south, east, north = outlines.total_bounds
        if west < -360 or east > 360 or south < -90 or north > 90:
            raise ValueError(
                f'{path} states {outlines.crs.to_string()}, but its coordinates ({west:g}, {south:g}) to '
                f'({east:g}, {north:g}) are no degrees; say which system it is (assume_crs, --assume-crs EPSG:...)'
            )


def _number_groups(values: np.ndarray) -> np.ndarray:
    """Number equal values alike, from 0 in order of appearance; each missing value is a group of its own."""
    numbers = pd.factorize(values)[0]
    missing = numbers < 0
    numbers[missing] = numbers.max(initial=-1) + 1 + np.arange(missing.sum())
    return pd.factorize(numbers)[0].astype(np.int64)


def _polygon_parts(outlines: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Valid polygons, and from which outline each came."""
    usable = np.isin(shapely.get_type_id(outlines), POLYGONAL_TYPES) & ~shapely.is_empty(outlines)
    invalid = usable & ~shapely.is_valid(outlines)
    mended = np.array(outlines, dtype=object)
    mended[invalid] = shapely.make_valid(outlines[invalid])
    mended[usable] = [polygonal(outline) for outline in mended[usable]]
    parts, source = shapely.get_parts(mended[usable], return_index=True)
    solid = shapely.area(parts) > 0
    counts = {
        'features': len(outlines),
        'left out (no polygon, or empty)': (~usable).sum(),
        'repaired': invalid.sum(),
        'parts left out (without area)': (~solid).sum(),
        'polygons': solid.sum(),
    }
    print_log(f'{path}: ' + ', '.join(f'{count} {what}' for what, count in counts.items()), logger='current')
    return parts[solid], np.flatnonzero(usable)[source[solid]]


def check_writable(path: str | Path) -> None:
    """Refuse a file that `write_polygons` could not write, before there is work to lose.

    Raises:
        FileNotFoundError: Its folder does not exist.
        ValueError: Its suffix names no format.
    """
    path = Path(path)
    if path.suffix.lower() not in DRIVERS:
        raise ValueError(f'cannot write {path.name}: expected a name that ends in {" or ".join(DRIVERS)}')
    if not path.parent.is_dir():
        raise FileNotFoundError(f'cannot write {path}: the folder {path.parent} does not exist')
