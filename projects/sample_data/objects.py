"""Simple objects, drawn in a unit frame: each is a stack of shaded polygons that fits a circle of about radius 1.

Colours are RGB in 0–255, y points down, and `light` is a unit vector that points towards the light.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.random import Generator
from shapely import Geometry, Polygon, affinity, box

WHITE = np.array([238.0, 238.0, 232.0])
BLACK = np.zeros(3)


@dataclass(frozen=True)
class Layer:
    """One polygon of a drawing.

    Attributes:
        shape: What it covers.
        color: RGB, shape (3,), in 0–255.
        shade: By how much the brightness rises towards the light and falls away from it, as a share.
        opacity: 1 for the object itself; less for shadows and highlights, which belong to no object.
    """

    shape: Geometry
    color: np.ndarray
    shade: float = 0.0
    opacity: float = 1.0


def covered_area(layers: list[Layer]) -> Geometry:
    """Everything that the object itself covers, shadows excluded."""
    return shapely.union_all([layer.shape for layer in layers if layer.opacity == 1])


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    Attributes:
        draw: Draws a new one in the unit frame, given a random generator and the direction of the light in that frame.
        max_tilt_deg: How far it may be turned from upright.
        aerial: Seen from above, on the ground: such objects lie side by side and never overlap.
    """

    draw: Callable[[Generator, np.ndarray], list[Layer]]
    max_tilt_deg: float = 180.0
    aerial: bool = False


def _bright_color(rng: Generator, hues_deg: tuple[float, float]) -> np.ndarray:
    """A random saturated RGB colour, shape (3,), of a hue in the given range of the colour circle."""
    hue = rng.uniform(*hues_deg) / 2  # OpenCV counts in steps of 2 degrees
    hsv = np.array([[[hue, rng.uniform(170, 255), rng.uniform(170, 255)]]]).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(float)


def _regular_polygon(corners: int) -> Polygon:
    angles = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    return Polygon(np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _lettering(text: str, height: float) -> Geometry:
    """Block letters around the origin, as polygons; `_STROKES` has the letters that are known."""
    width, gap = 0.55 * height, 0.3 * height
    left = -(len(text) * (width + gap) - gap) / 2
    lines = [
        [(left + k * (width + gap) + x * width, (y - 0.5) * height) for x, y in stroke]
        for k, letter in enumerate(text)
        for stroke in _STROKES[letter]
    ]
    return shapely.MultiLineString(lines).buffer(0.1 * height, cap_style='square', join_style='mitre')


_STROKES: dict[str, list[list[tuple[float, float]]]] = {
    'S': [[(1, 0), (0, 0), (0, 0.5), (1, 0.5), (1, 1), (0, 1)]],
    'T': [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
    'O': [[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0), (1, 0)]],
    'P': [[(0, 1), (0, 0), (1, 0), (1, 0.5), (0, 0.5)]],
}
_OCTAGON = _regular_polygon(8)
_DISC = _regular_polygon(48)
_STOP = _lettering('STOP', height=0.46)


def _stop_sign(rng: Generator, light: np.ndarray) -> list[Layer]:
    """A red octagon with a white rim and white letters, seen a little from the side."""
    narrowing = rng.uniform(0.75, 1.0)
    red = np.array([rng.uniform(165, 215), rng.uniform(15, 45), rng.uniform(20, 50)])
    layers = [
        Layer(_OCTAGON, WHITE, shade=0.1),
        Layer(affinity.scale(_OCTAGON, 0.9, 0.9, origin=(0, 0)), red, shade=0.15),
        Layer(_STOP, WHITE, shade=0.1),
        Layer(affinity.translate(affinity.scale(_DISC, 0.35, 0.3), *(0.4 * light)), WHITE, opacity=0.12),
    ]
    return [
        Layer(affinity.scale(layer.shape, narrowing, 1, origin=(0, 0)), layer.color, layer.shade, layer.opacity)
        for layer in layers
    ]


def _frisbee(rng: Generator, light: np.ndarray) -> list[Layer]:
    """A shaded disc in perspective: rim, flight rings and a gloss on the side of the light."""
    flattening = rng.uniform(0.5, 1.0)
    color = _bright_color(rng, _BLUE_TO_PURPLE)
    inner = color if rng.random() < 0.5 else 0.35 * color + 0.65 * WHITE
    rings = [
        (1.0, 0.55 * color, 0.2),
        (0.93, color, 0.25),
        (0.72, 0.75 * color, 0.1),
        (0.67, inner, 0.15),
        (0.3, 0.8 * inner, 0.1),
    ]
    layers = [Layer(affinity.scale(_DISC, radius, radius * flattening), ring, shade) for radius, ring, shade in rings]
    gloss = affinity.scale(_DISC, 0.3, 0.22 * flattening)
    return [*layers, Layer(affinity.translate(gloss, *(0.4 * flattening * light)), WHITE, opacity=0.35)]


def _kite(rng: Generator, light: np.ndarray) -> list[Layer]:
    """A diamond of four panels in two bright colours with dark spars, with or without a tail."""
    wing, cross = rng.uniform(0.55, 0.8), rng.uniform(-0.4, -0.15)
    top, right, bottom, left, hub = (0, -1), (wing, cross), (0, 1), (-wing, cross), (0, cross)
    first, second = _bright_color(rng, _ORANGE_TO_GREEN), _bright_color(rng, _ORANGE_TO_GREEN)
    layers = []
    if rng.random() < 0.4:
        along = np.linspace(0, 1, 12)
        sway = rng.uniform(-0.2, 0.2) * np.sin(2 * np.pi * along)
        path = np.stack([sway, 0.9 + 0.55 * along], axis=1)
        layers.append(Layer(shapely.LineString(path).buffer(0.06), second))
        layers += [Layer(Polygon(path[k] + 0.16 * np.array(_BOW)), first) for k in (5, 10)]
    panels = [((top, right, hub), first), ((right, bottom, hub), second)]
    panels += [((bottom, left, hub), first), ((left, top, hub), second)]
    for corners, color in panels:
        facing = 1 + 0.12 * np.sign(corners[0][0] + corners[1][0]) * light[0]
        layers.append(Layer(Polygon(corners), color * facing, shade=0.08))
    spars = shapely.MultiLineString([[top, bottom], [left, right]]).buffer(0.025, cap_style='flat')
    layers.append(Layer(spars & Polygon([top, right, bottom, left]), 0.3 * first))
    return layers


_BLUE_TO_PURPLE, _ORANGE_TO_GREEN = (185.0, 300.0), (25.0, 130.0)
_BOW = [(-1, -0.6), (0, 0), (1, -0.6), (1, 0.6), (0, 0), (-1, 0.6)]


def _building(rng: Generator, light: np.ndarray) -> list[Layer]:
    """A building seen from above: one wing or an L of two, with a pitched or a flat roof, and its shadow."""
    length, depth = 0.95, rng.uniform(0.35, 0.6)
    wings = [box(-length, -depth, length, depth)]
    if rng.random() < 0.4:
        depth = rng.uniform(0.3, 0.4)
        wings = [box(-length, -0.75, length, 2 * depth - 0.75), box(length - 2 * depth, -0.75, length, 0.75)]
    shadow_offset = -rng.uniform(0.15, 0.35) * light
    swept = [(wing | affinity.translate(wing, *shadow_offset)).convex_hull for wing in wings]
    layers = [Layer(shapely.union_all(swept), BLACK, opacity=0.45)]
    if rng.random() < 0.5:
        color = np.array(_TILES[rng.integers(len(_TILES))]) * rng.uniform(0.85, 1.15)
        return layers + [layer for wing in wings for layer in _pitched_roof(wing, color, light)]
    return layers + _flat_roof(rng, shapely.union_all(wings), light)


_TILES = [(168.0, 84.0, 62.0), (140.0, 66.0, 52.0), (120.0, 112.0, 106.0), (96.0, 104.0, 118.0), (176.0, 140.0, 104.0)]


def _pitched_roof(wing: Polygon, color: np.ndarray, light: np.ndarray) -> list[Layer]:
    """Four planes that meet in a ridge along the longer axis, each as bright as it faces the light."""
    x0, y0, x1, y1 = wing.bounds
    run = min(x1 - x0, y1 - y0) / 2
    start, end = (x0 + run, y0 + run), (x1 - run, y1 - run)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    ends = [start, end, end, start] if x1 - x0 >= y1 - y0 else [start, start, end, end]
    normals = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
    layers = [Layer(wing, 0.75 * color)]
    for k, normal in enumerate(normals):
        plane = Polygon([corners[k], corners[(k + 1) % 4], ends[(k + 1) % 4], ends[k]])
        layers.append(Layer(plane, color * (1 + 0.28 * normal @ light)))
    return layers


def _flat_roof(rng: Generator, roof: Geometry, light: np.ndarray) -> list[Layer]:
    """A parapet around a grey roof with a few small units that throw shadows."""
    gray = rng.uniform(110, 225) + rng.uniform(-8, 8, size=3)
    inside = roof.buffer(-0.06, join_style='mitre')
    layers = [Layer(roof, 1.15 * gray), Layer(inside, 0.92 * gray, shade=0.06)]
    for x, y in rng.uniform(-0.8, 0.8, size=(6, 2)):
        unit = box(x - 0.09, y - 0.07, x + 0.09, y + 0.07)
        if inside.buffer(-0.1).contains(unit):
            layers += [
                Layer(affinity.translate(unit, *(-0.07 * light)), BLACK, opacity=0.4),
                Layer(unit, np.minimum(1.2 * gray, 245.0)),
            ]
    return layers


KINDS = {
    'stop sign': Kind(_stop_sign, max_tilt_deg=25.0),
    'frisbee': Kind(_frisbee),
    'kite': Kind(_kite, max_tilt_deg=60.0),
    'building': Kind(_building, aerial=True),
}
"""The classes that can be drawn as what they are."""
