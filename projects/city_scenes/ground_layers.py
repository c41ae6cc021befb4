"""Roads, parks and other ground from vector files, for a city to lie on."""

from pathlib import Path

import numpy as np
import shapely
from mmengine.logging import print_log

from projects.geodata.coordinate_systems import Transformer, parse_crs
from projects.geodata.polygonal import mend_outlines
from projects.geodata.vector_layers import open_layer, pyogrio

AROUND_M = 200.0
"""Ground farther than that from all buildings is not read."""


def read_ground(
    path: str | Path,
    crs: str,
    bounds_m: tuple[float, float, float, float],
    *,
    width_m: float | None = None,
    assume_crs: str | None = None,
) -> np.ndarray:
    """Reads the polygons of a file of one layer, and its lines as strips of ground.

    Args:
        path: GeoPackage, GeoJSON, Shapefile or another file that GDAL reads.
        crs: Coordinate system to return, in metres.
        bounds_m: West, south, east and north of the buildings.
        width_m: Width of a strip; None: lines are left out.
        assume_crs: Coordinate system of a file that states none.

    Returns:
        (N,) Polygons that lie near the buildings.

    Raises:
        ImportError: The extra `geo` is not installed.
        FileNotFoundError: There is no such file.
        ValueError: It holds several layers, states no coordinate system, or nothing of it lies near the buildings.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'the vector file {path} does not exist')
    names = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
    if len(names) != 1:
        raise ValueError(
            f'{path} holds {len(names)} layers ({", ".join(names)}); write the one that is meant into a file of its '
            f'own: ogr2ogr one.gpkg {path.name} NAME'
        )
    layer = open_layer(path, names[0])
    if layer.crs is None and assume_crs is None:
        raise ValueError(f'{path} states no coordinate system; say which it is (--assume-crs EPSG:...)')
    file_crs = parse_crs(layer.crs if assume_crs is None else assume_crs)
    geometries = layer.read([], None)[0]
    geometries = geometries[~shapely.is_missing(geometries)]
    to_city = Transformer.from_crs(file_crs, parse_crs(crs), always_xy=True)
    geometries = shapely.transform(shapely.force_2d(geometries), lambda points: _moved(points, to_city))
    parts = shapely.get_parts(geometries)
    if width_m is not None:
        lines = np.isin(shapely.get_type_id(parts), (shapely.GeometryType.LINESTRING, shapely.GeometryType.LINEARRING))
        parts[lines] = shapely.buffer(parts[lines], width_m / 2, quad_segs=2)
    mended, counts = mend_outlines(parts)
    polygons = shapely.get_parts(mended[~shapely.is_missing(mended)])
    west, south, east, north = bounds_m
    near = shapely.box(west - AROUND_M, south - AROUND_M, east + AROUND_M, north + AROUND_M)
    polygons = polygons[shapely.intersects(polygons, near)]
    listed = ''.join(f', {count} {reason}' for reason, count in counts.items())
    print_log(
        f'{path}: {len(parts)} pieces of ground{listed}; {len(polygons)} lie near the buildings', logger='current'
    )
    if not len(polygons):
        raise ValueError(
            f'nothing of {path} that can be used lies near the buildings; check the coordinate systems of both files'
        )
    return polygons


def _moved(points: np.ndarray, transformer: Transformer) -> np.ndarray:
    return np.column_stack(transformer.transform(*points.T))
