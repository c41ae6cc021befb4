"""Pictures of simple objects together with the exactly visible part of each object."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
import shapely
from numpy.random import Generator
from shapely import Geometry, Polygon, box

from .coverage import coverage
from .objects import WHITE, Kind, Layer, covered_area

SIZE_RANGE = (0.3, 0.6)  # of an object, as a share of the image's shorter side: 48 to 96 px of 160
AERIAL_SIZE_RANGE = (0.2, 0.5)  # of a building, which hides no other one
CROWD_SIZE_RANGE = (0.06, 0.09)  # of each of the many objects of a crowd
MIN_VISIBLE = 0.75  # share of an object that stays visible
MIN_PART_AREA_PX = 8.0  # of each visible part: smaller ones would vanish when the polygon is rasterised


@dataclass(frozen=True)
class SceneObject:
    """An object in its place; coordinates are pixels, the image's upper left corner is (0, 0).

    Attributes:
        class_name: What it is.
        layers: How to paint it.
        whole: All that it covers, hidden or not.
        is_crowd: Whether it is a group of many objects, marked as one.
    """

    class_name: str
    layers: list[Layer]
    whole: Geometry
    is_crowd: bool = False


@dataclass(frozen=True)
class Scene:
    """A picture before it is painted.

    Attributes:
        size: (height, width) in pixels.
        light: Unit vector (x, y) towards the light.
        objects: In the order of painting: the last one hides those before it.
        visible: The visible part of each object: polygons without holes.
    """

    size: tuple[int, int]
    light: np.ndarray
    objects: list[SceneObject]
    visible: list[Geometry]


def compose(
    rng: Generator, size: tuple[int, int], kinds: Mapping[str, Kind], num_objects: int, with_crowd: bool = False
) -> Scene:
    """Places objects at random so that enough of every one stays visible.

    Args:
        rng: Source of everything random.
        size: (height, width) in pixels.
        kinds: How to draw each class.
        num_objects: How many single objects to place. One that finds no room in 100 trials is left out.
        with_crowd: Whether to place a crowd as well, behind the others.
    """
    direction = rng.uniform(0, 2 * np.pi)
    scene = Scene(size, np.array([np.cos(direction), np.sin(direction)]), objects=[], visible=[])
    names = list(kinds)
    for crowd in [True] * with_crowd + [False] * num_objects:
        name = names[rng.integers(len(names))]
        place = _place_crowd if crowd else _place_one
        for _ in range(100):
            layers = place(rng, scene, kinds[name])
            candidate = SceneObject(name, layers, covered_area(layers), crowd)
            visible = _visible_parts(scene, candidate, may_overlap=not kinds[name].aerial)
            if visible is not None:
                scene = Scene(size, scene.light, [*scene.objects, candidate], visible)
                break
    return scene


def _place_one(rng: Generator, scene: Scene, kind: Kind) -> list[Layer]:
    """An object of random size anywhere in the image; it may reach a little beyond the border."""
    radius = _random_radius(rng, scene, AERIAL_SIZE_RANGE if kind.aerial else SIZE_RANGE)
    width_height = np.array(scene.size[::-1])
    margin = 0.75 * radius
    return _place(rng, scene, kind, radius, rng.uniform(margin, width_height - margin))


def _place_crowd(rng: Generator, scene: Scene, kind: Kind) -> list[Layer]:
    """Small objects side by side on a jittered grid of 3 × 4 places."""
    radius = _random_radius(rng, scene, CROWD_SIZE_RANGE)
    spacing = 2.8 * radius
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(3)), axis=-1).reshape(-1, 2) * spacing
    corner = rng.uniform(2 * radius, np.array(scene.size[::-1]) - grid.max(axis=0) - 2 * radius)
    centers = corner + grid + rng.uniform(-0.6, 0.6, size=grid.shape) * radius
    return [layer for center in centers for layer in _place(rng, scene, kind, radius, center)]


def _random_radius(rng: Generator, scene: Scene, size_range: tuple[float, float]) -> float:
    """Half a log-uniform size, in pixels."""
    return min(scene.size) * np.exp(rng.uniform(*np.log(size_range))) / 2


def _place(rng: Generator, scene: Scene, kind: Kind, radius: float, center: np.ndarray) -> list[Layer]:
    """Draws an object and moves it from the unit frame into the image."""
    tilt = np.deg2rad(rng.uniform(-kind.max_tilt_deg, kind.max_tilt_deg))
    rotation = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])  # of row vectors
    return [
        replace(layer, shape=shapely.transform(layer.shape, lambda points: points @ rotation * radius + center))
        for layer in kind.draw(rng, rotation @ scene.light)
    ]


def _visible_parts(scene: Scene, candidate: SceneObject, may_overlap: bool) -> list[Geometry] | None:
    """What is visible of every object once the candidate is painted; None if of any it is too little or has holes."""
    if not may_overlap and any(candidate.whole.distance(other) < 2 for other in scene.visible):
        return None
    visible = [other - candidate.whole for other in scene.visible]
    visible.append(candidate.whole & box(0, 0, *scene.size[::-1]))
    for remaining, scene_object in zip(visible, [*scene.objects, candidate], strict=True):
        if remaining.area < MIN_VISIBLE * scene_object.whole.area:
            return None
        if not all(_is_representable(part) for part in part_list(remaining)):
            return None
    return visible


def part_list(geometry: Geometry) -> list[Geometry]:
    """The connected parts of a geometry."""
    return list(shapely.get_parts(geometry))


def _is_representable(part: Geometry) -> bool:
    """Whether a part can be written as one polygon: COCO's have no holes."""
    return part.area >= MIN_PART_AREA_PX and not part.interiors


def paint(scene: Scene, background: np.ndarray) -> np.ndarray:
    """Paints the objects, anti-aliased, over a background.

    Args:
        scene: What to paint.
        background: RGB, float, shape (H, W, 3); left unchanged.

    Returns:
        RGB, float, shape (H, W, 3), in 0–255.
    """
    canvas = background.copy()
    for scene_object in scene.objects:
        for layer in scene_object.layers:
            _fill(canvas, layer, scene.light)
    return canvas.clip(0, 255)


def _fill(canvas: np.ndarray, layer: Layer, light: np.ndarray) -> None:
    """Blends a layer into the canvas, in place; the blending weight of a pixel is the share that the layer covers."""
    window, share = coverage(layer.shape, canvas.shape[:2])
    x0, y0, x1, y1 = layer.shape.bounds
    rows, columns = (np.arange(part.start, part.stop) + 0.5 for part in window)
    x, y = columns - (x0 + x1) / 2, rows - (y0 + y1) / 2
    towards_light = (x * light[0] + y[:, None] * light[1]) / (max(x1 - x0, y1 - y0) / 2)
    color = layer.color * (1 + layer.shade * towards_light[..., None])
    patch = canvas[window]
    patch += (layer.opacity * share)[..., None] * (color - patch)


def street_background(rng: Generator, scene: Scene) -> np.ndarray:
    """Sky above uneven ground, the horizon anywhere or out of the picture; RGB, float, shape (H, W, 3)."""
    height, width = size = scene.size
    sky, ground = _pick(rng, _SKIES), _pick(rng, _GROUNDS)
    across = np.linspace(-0.5, 0.5, width)
    horizon = height * (rng.uniform(-0.2, 1.2) + rng.uniform(-0.15, 0.15) * across) + 4 * _noise(rng, size, 6)[0]
    rows = np.arange(height)[:, None]
    is_ground = np.clip(rows - horizon + 0.5, 0, 1)[..., None]
    depth = (rows / height)[..., None]
    sky_picture = sky * (1.1 - 0.25 * depth) + 14 * _noise(rng, size, 4)[..., None]
    ground_picture = ground * (0.8 + 0.35 * depth) + (9 * _noise(rng, size, 10) + 12 * _noise(rng, size, 50))[..., None]
    return sky_picture + is_ground * (ground_picture - sky_picture)


def aerial_background(rng: Generator, scene: Scene) -> np.ndarray:
    """Ground from above: patches of two colours, trees, a road if it finds a way; RGB, float, shape (H, W, 3)."""
    mixture = np.clip(0.5 + 0.6 * _noise(rng, scene.size, 6), 0, 1)[..., None]
    first, second = _pick(rng, _GROUNDS), _pick(rng, _GROUNDS)
    canvas = first + mixture * (second - first)
    canvas += (7 * _noise(rng, scene.size, 16) + 9 * _noise(rng, scene.size, 60))[..., None]
    extent = np.array(scene.size[::-1])
    built = shapely.union_all(scene.visible)
    for start, end in rng.uniform(0, 1, size=(10, 2, 2)) * extent:
        along = (end - start) / np.linalg.norm(end - start) * extent.sum()
        center_line = shapely.LineString([start - along, end + along])
        road = center_line.buffer(min(extent) * rng.uniform(0.03, 0.05))
        if not road.intersects(built):
            _fill(canvas, Layer(road, np.full(3, rng.uniform(105, 150))), scene.light)
            _fill(canvas, Layer(center_line.buffer(0.6), WHITE, opacity=0.6), scene.light)
            break
    for center in rng.uniform(0, 1, size=(rng.integers(2, 9), 2)) * extent:
        angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        radii = min(extent) * rng.uniform(0.02, 0.05) * rng.uniform(0.75, 1.15, size=14)
        crown = Polygon(center + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None])
        green = np.array([48.0, 78.0, 40.0]) * rng.uniform(0.7, 1.2)
        _fill(canvas, Layer(crown, green, shade=0.5), scene.light)
    return canvas


def grain(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    """Sensor noise; float, shape (H, W, 3)."""
    return rng.normal(scale=rng.uniform(2, 7), size=(*size, 3))


def _noise(rng: Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise of unit scale with about `cells` bumps along each side, shape (H, W)."""
    return cv2.resize(rng.normal(size=(cells, cells)), size[::-1], interpolation=cv2.INTER_CUBIC)


def _pick(rng: Generator, palette: list[tuple[float, float, float]]) -> np.ndarray:
    return np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.85, 1.15) + rng.uniform(-8, 8, size=3)


_SKIES = [(120.0, 165.0, 215.0), (165.0, 190.0, 215.0), (188.0, 190.0, 192.0), (205.0, 178.0, 160.0)]
_GROUNDS = [
    (96.0, 124.0, 66.0),
    (70.0, 104.0, 60.0),
    (150.0, 132.0, 100.0),
    (126.0, 124.0, 120.0),
    (170.0, 158.0, 132.0),
]
