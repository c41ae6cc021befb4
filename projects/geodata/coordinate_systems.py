"""Coordinate systems, and how long their units are on the ground."""

from typing import Any

import numpy as np

try:
    from pyproj import CRS, Geod, Transformer
    from pyproj.aoi import AreaOfInterest
    from pyproj.database import query_utm_crs_info
    from pyproj.exceptions import CRSError
except ImportError as error:
    raise ImportError(f"{error}; coordinate systems need the extra 'geo': pip install -e '.[geo]'") from error

WGS84 = 'EPSG:4326'
POLAR_STEREOGRAPHIC = (5042, 5041)  # UPS south and north, east first
STEP_M = 100.0  # length over which the scale is measured; projections are straight over it


def parse_crs(crs: Any) -> CRS:
    """A coordinate system from 'EPSG:28355', WKT, PROJ text or another library's object.

    Raises:
        ValueError: It means none.
    """
    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise ValueError(f'{crs!r} is no coordinate system ({error}); expected one such as EPSG:32633') from error


def is_local(crs: Any) -> bool:
    """Whether a coordinate system is one of its own, such as a site's, that nothing ties to the Earth."""
    return parse_crs(crs).geodetic_crs is None


def meters_per_unit(crs: Any, points: np.ndarray) -> np.ndarray:
    """Length on the ground of one unit of a coordinate system at the given places.

    Web-mercator "metres" are 1 / cos(latitude) times too long on the map: at 60 degrees this returns 0.5. UTM returns
    0.9996 to 1.001, feet 0.3048, degrees up to 111,320 along the equator, a local system the length of its unit.
    Measured along geodesics of the WGS 84 ellipsoid (Karney, 2013, doi:10.1007/s00190-012-0578-z) over `STEP_M`, so
    that it holds for every projection.

    Args:
        crs: Coordinate system.
        points: (N, 2) Positions in it, x (east) first.

    Returns:
        (N, 2) Metres per unit along x and along y.

    Raises:
        ValueError: A point lies outside of what the coordinate system can express.
    """
    crs = parse_crs(crs)
    if is_local(crs):
        return np.full((len(np.atleast_2d(points)), 2), crs.axis_info[0].unit_conversion_factor)
    half = STEP_M / 2 / (111_320.0 if crs.is_geographic else crs.axis_info[0].unit_conversion_factor)
    to_wgs84 = Transformer.from_crs(crs, WGS84, always_xy=True)
    points = np.atleast_2d(np.asarray(points, dtype=float))
    scales = []
    for step in ((half, 0.0), (0.0, half)):
        start, end = (to_wgs84.transform(*(points + sign * np.array(step)).T) for sign in (-1, 1))
        *_, length_m = Geod(ellps='WGS84').inv(*start, *end)
        scales.append(np.asarray(length_m) / (2 * half))
    result = np.stack(scales, axis=-1)
    if not np.isfinite(result).all():
        raise ValueError(f'{crs.to_string()} cannot express the position {points[~np.isfinite(result).all(1)][0]}')
    return result


def ground_system(crs: Any, point: tuple[float, float]) -> tuple[CRS, float]:
    """A coordinate system to measure areas in, and around a place lengths and angles; and the metres of its unit.

    Lambert's azimuthal projection around the place, which keeps areas on the ellipsoid (Snyder, 1987, Map projections:
    a working manual, doi:10.3133/pp1395, p. 187); lengths and angles are off by 1e-5 at 50 km. A local system is its
    own.

    Args:
        crs: Of what is to be measured.
        point: A place in it, x (east) first.
    """
    if is_local(crs):
        return parse_crs(crs), float(meters_per_unit(crs, np.array([point]))[0, 0])
    longitude_deg, latitude_deg = to_degrees(crs, point)
    return parse_crs(f'+proj=laea +lat_0={latitude_deg:.6f} +lon_0={longitude_deg:.6f} +datum=WGS84'), 1.0


def to_degrees(crs: Any, point: tuple[float, float]) -> tuple[float, float]:
    """Longitude, from -180 to 180, and latitude of a place."""
    longitude_deg, latitude_deg = Transformer.from_crs(parse_crs(crs), WGS84, always_xy=True).transform(*point)
    return (longitude_deg + 180) % 360 - 180, latitude_deg


def utm_zone(longitude_deg: float, latitude_deg: float) -> CRS:
    """The UTM zone of a place, on WGS 84; beyond them, from 84 degrees north and 80 degrees south, the polar one.

    Raises:
        ValueError: It is no place on the Earth.
    """
    if not (abs(longitude_deg) <= 180 and abs(latitude_deg) <= 90):
        raise ValueError(f'longitude {longitude_deg}, latitude {latitude_deg} is no place on the Earth')
    area = AreaOfInterest(longitude_deg, latitude_deg, longitude_deg, latitude_deg)
    zones = query_utm_crs_info(datum_name='WGS 84', area_of_interest=area)
    return CRS.from_epsg(zones[0].code if zones else POLAR_STEREOGRAPHIC[latitude_deg > 0])
