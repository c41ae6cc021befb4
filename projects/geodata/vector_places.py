"""Whether coordinates of outlines can be what their system says, and why outlines do not lie where they should."""

from logging import WARNING
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from mmengine.logging import print_log

from .coordinate_systems import CRS, WGS84, Transformer, is_local, parse_crs
from .degrees import SWAPPED, are_degrees, place_on_earth
from .vector_layers import Bounds, VectorLayer

TINY_UNITS = 0.01  # half of the buildings are not smaller than that in metres or feet, but all are in degrees
SIDE_POINTS = 64


def _check_convertible(path: str | Path, crs: CRS, target: CRS) -> None:
    """Refuse a file whose coordinates cannot become those of another system, since one of both is of its own.

    Raises:
        ValueError: It is such a file.
    """
    if crs != target and (is_local(crs) or is_local(target)):
        raise ValueError(
            f'{path} is in the coordinate system {crs.name!r}, and is needed in {target.name!r}; nothing ties '
            f'{(crs if is_local(crs) else target).name!r} to the Earth: say which system its coordinates are in '
            '(--assume-crs EPSG:...), or write it into the file'
        )


def choose_systems(layer: VectorLayer, assume_crs: Any, target: Any) -> tuple[CRS, CRS]:
    """The coordinate system of a layer, and the one that its outlines are wanted in.

    Outlines that state no system, as no GeoJSON can state one of its own, are taken to be in a local one that they are
    wanted in: nothing else could be brought there.

    Args:
        layer: What is read.
        assume_crs: Its system, whatever it states; None: as it states.
        target: The system wanted; None: its own.

    Raises:
        ValueError: It states none, or there is no way from one to the other.
    """
    stated = layer.crs
    if assume_crs is None and target is not None and is_local(target) and (not stated or layer.driver == 'GeoJSON'):
        assume_crs = target
        print_log(f'{layer.path} is taken to be in the local system {parse_crs(target).name!r}', logger='current')
    if assume_crs is None and stated is None:
        raise ValueError(
            f'{layer.path} states no coordinate system; say which it is (assume_crs, --assume-crs EPSG:...) or write '
            f'it into the file: ogr2ogr -a_srs EPSG:... with_crs.gpkg {layer.path.name}'
        )
    crs = parse_crs(stated if assume_crs is None else assume_crs)
    wanted = crs if target is None else parse_crs(target)
    _check_convertible(layer.path, crs, wanted)
    if is_local(crs) and assume_crs is None and crs.name != wanted.name:
        text = f'{layer.path} is in the local system {crs.name!r}, and taken to be in {wanted.name!r}: check the names'
        print_log(text, 'current', WARNING)
    return crs, wanted


def place_outlines(
    outlines: np.ndarray, layer: VectorLayer, crs: CRS, bounds: Bounds | None, target: CRS
) -> tuple[np.ndarray, int]:
    """Outlines whose coordinates are possible in their system, see `place_on_earth`.

    Args:
        outlines: (N,) Geometries, or None.
        layer: Where they come from.
        crs: Their coordinate system.
        bounds: Where they should lie, in `target`.
        target: The system that they are wanted in.

    Raises:
        ValueError: Most of them cannot be in their system.
    """
    if crs.is_geographic:
        remedy = 'a GeoJSON that states no other system is taken for degrees; ' if layer.driver == 'GeoJSON' else ''
        remedy += f'say which system it is (--assume-crs EPSG:...){_hint_of_system(layer, bounds, target)}'
        return place_on_earth(outlines, layer.path, remedy)
    boxes = shapely.bounds(outlines)
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    if len(boxes) and are_degrees(boxes).all() and 0 < np.median(sides) < TINY_UNITS:
        raise ValueError(
            f'{layer.path} states {crs.to_string()}, but coordinates such as ({boxes[0, 0]:g}, {boxes[0, 1]:g}) look '
            f'like degrees; say which system it is (--assume-crs {WGS84})'
        )
    return outlines, 0


def reproject_bounds(bounds: Bounds, crs: CRS, target: CRS) -> Bounds:
    """A box in another system that holds all of `bounds`; NaN or infinite, where that cannot express it."""
    if crs == target:
        return bounds
    outline = shapely.get_coordinates(shapely.segmentize(shapely.box(*bounds), _perimeter(bounds) / SIDE_POINTS))
    x, y = Transformer.from_crs(crs, target, always_xy=True).transform(*outline.T)
    west, south, east, north = np.min(x), np.min(y), np.max(x), np.max(y)
    margin = 0.01 * max(east - west, north - south)  # the sides bulge a little between the points
    return float(west - margin), float(south - margin), float(east + margin), float(north + margin)


def _perimeter(bounds: Bounds) -> float:
    west, south, east, north = bounds
    return 2 * (east - west + north - south)


def search_box(layer: VectorLayer, crs: CRS, bounds: Bounds, target: CRS) -> Bounds | None:
    """What to read of a layer to have all that lies in `bounds`; None: everything.

    Raises:
        ValueError: The layer's system cannot express the area.
    """
    if target.is_geographic and not are_degrees(np.array(bounds)):
        return None  # of one place, that may be called otherwise in the file
    box = reproject_bounds(bounds, target, crs)
    if not np.isfinite(box).all():
        raise ValueError(
            f"the area {bounds} in {target.to_string()} lies outside of what the labels' system, {crs.to_string()}, "
            'can express; check the coordinate systems of both files'
        )
    if crs.is_geographic and not (layer.bounds and are_degrees(np.array(layer.bounds))):
        return None  # beyond 180 degrees, or no degrees at all
    return box


def explain_miss(layer: VectorLayer, crs: CRS, bounds: Bounds, target: CRS) -> str:
    """Why no outline of a layer lies in `bounds`, for a message."""
    if not layer.features:
        return 'the file holds no features'
    area = _in_words(bounds, target)
    if layer.bounds is None or not np.isfinite(layer.bounds).all():
        return f'the area is {area}'
    reasons = [f'they lie at {_in_words(layer.bounds, crs)}, the area at {area}']
    west, south, east, north = layer.bounds
    if crs.is_geographic and _meet(reproject_bounds((south, west, north, east), crs, target), bounds):
        reasons.append(SWAPPED)
    elif not crs.is_geographic and are_degrees(np.array(layer.bounds)):
        reasons.append(f'its coordinates look like degrees (--assume-crs {WGS84})')
    else:
        hint = _hint_of_system(layer, bounds, target) if crs != target else ''
        reasons.append(f'check the coordinate systems of both (--assume-crs sets that of the labels){hint}')
    return '; '.join(reasons)


def _hint_of_system(layer: VectorLayer, bounds: Bounds | None, target: CRS) -> str:
    """That a layer's coordinates would lie in `bounds` if they were in its system; '' if they would not."""
    if bounds is None or layer.bounds is None or not _meet(layer.bounds, bounds):
        return ''
    return f': taken as {target.to_string()} they would lie where they should'


def _meet(one: Bounds, other: Bounds) -> bool:
    return bool(np.isfinite(one).all()) and shapely.intersects(shapely.box(*one), shapely.box(*other))


def _in_words(bounds: Bounds, crs: Any) -> str:
    if is_local(crs):
        west, south, east, north = bounds
        return f'x {west:.9g} to {east:.9g}, y {south:.9g} to {north:.9g}'
    west, south, east, north = bounds if CRS(crs).is_geographic else reproject_bounds(bounds, CRS(crs), CRS(WGS84))
    return f'longitude {west:.6g} to {east:.6g}, latitude {south:.6g} to {north:.6g}'
