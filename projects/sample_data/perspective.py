"""Pictures of a simple world in perspective, together with the label of every pixel.

World coordinates are metres: x to the right, y up from the ground, z into the picture. The camera stands at
(0, height_m, 0) and looks along z. Everything is made of flat surfaces that are parallel to two of the axes; they are
painted from far to near.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from shapely import Geometry, box

from .coverage import coverage

NEAR_M = 0.5  # surfaces are cut off here: they would be projected to infinity
FAR_M = 1000.0
Material = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""RGB, shape (H, W, 3), of points of a surface, given their two coordinates in metres, each of shape (H, W)."""
Interval = tuple[float, float]

_COORDINATES = {'x': (2, 1), 'y': (0, 2), 'z': (0, 1)}  # of a surface across each axis: (z, y), (x, z) and (x, y)


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera.

    Attributes:
        focal_px: Focal length.
        center_px: (x, y) of the vanishing point; y is the horizon.
        height_m: Height above the ground.
    """

    focal_px: float
    center_px: tuple[float, float]
    height_m: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixel coordinates, shape (N, 2), of points in the world, shape (N, 3)."""
        x, y, z = points.T
        left, horizon = self.center_px
        return np.stack([left + self.focal_px * x / z, horizon + self.focal_px * (self.height_m - y) / z], axis=1)

    def intersect(self, axis: int, value_m: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Where the rays through pixels meet the plane on which one coordinate is constant, shape (3, H, W).

        Rays that are all but parallel to the plane meet it far away.
        """
        rays = np.stack([(x - self.center_px[0]), (self.center_px[1] - y), np.full_like(x, self.focal_px)])
        rays /= self.focal_px
        height = self.height_m if axis == 1 else 0.0
        with np.errstate(divide='ignore'):
            depth = np.abs((value_m - height) / rays[axis]).clip(max=FAR_M)
        points = rays * depth
        points[1] += self.height_m
        return points


class Canvas:
    """A picture and its label map, painted together.

    A pixel takes the label of a surface that covers more than half of it; its colour is blended by the share.

    Attributes:
        picture: RGB, float, shape (H, W, 3), in 0–255.
        labels: Shape (H, W), uint8; 0 where nothing has been painted.

    Args:
        size: (height, width) in pixels.
        camera: The view.
        label_ids: The value of each label.
    """

    def __init__(self, size: tuple[int, int], camera: Camera, label_ids: Mapping[str, int]) -> None:
        self.camera = camera
        self.label_ids = label_ids
        self.picture = np.zeros((*size, 3))
        self.labels = np.zeros(size, dtype=np.uint8)

    def surface(
        self,
        axis: str,
        value_m: float,
        shape: Geometry,
        label: str | None,
        material: Material | np.ndarray,
        brightness: float = 1.0,
        opacity: float = 1.0,
    ) -> None:
        """Paints a flat surface.

        Args:
            axis: 'x', 'y' or 'z': the surface lies where this coordinate is constant.
            value_m: That coordinate.
            shape: Polygons in the other two coordinates: (z, y), (x, z) or (x, y).
            label: What it is; None leaves the labels as they are, for markings and shadows.
            material: Its colours, or one colour.
            brightness: Factor on the colours.
            opacity: Less than 1 for shadows.
        """
        fixed = 'xyz'.index(axis)
        first, second = _COORDINATES[axis]
        if axis == 'x':
            shape = shape & box(NEAR_M, -FAR_M, FAR_M, FAR_M)
        elif axis == 'y':
            shape = shape & box(-FAR_M, NEAR_M, FAR_M, FAR_M)

        def project(points: np.ndarray) -> np.ndarray:
            world = np.full((len(points), 3), float(value_m))
            world[:, [first, second]] = points
            return self.camera.project(world)

        height, width = self.labels.shape
        outline = shapely.transform(shape, project) & box(-1, -1, width + 1, height + 1)
        window, weight = coverage(outline, self.labels.shape)
        if weight.size == 0:
            return
        color: Any = material
        if callable(material):
            rows, columns = (np.arange(part.start, part.stop) + 0.5 for part in window)
            points = self.camera.intersect(fixed, value_m, *np.meshgrid(columns, rows))
            color = material(points[first], points[second])
        patch = self.picture[window]
        patch += opacity * weight[..., None] * (brightness * color - patch)
        if label is not None:
            self.labels[window][weight > 0.5] = self.label_ids[label]

    def cuboid(
        self,
        x: Interval,
        y: Interval,
        z: Interval,
        label: str | None,
        material: Material | np.ndarray,
        top: Material | np.ndarray | None = None,
    ) -> None:
        """Paints the faces of a cuboid that the camera sees, its top perhaps of another material."""
        for face in ((0, x[0] > 0), (1, x[1] < 0)):
            if face[1]:
                self.surface('x', x[face[0]], box(z[0], y[0], z[1], y[1]), label, material, brightness=0.75)
        if y[1] < self.camera.height_m:
            self.surface('y', y[1], box(x[0], z[0], x[1], z[1]), label, material if top is None else top, 1.15)
        if y[0] > self.camera.height_m:
            self.surface('y', y[0], box(x[0], z[0], x[1], z[1]), label, material, brightness=0.5)
        self.surface('z', z[0], box(x[0], y[0], x[1], y[1]), label, material)
