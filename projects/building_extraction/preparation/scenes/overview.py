"""A map of the city with the tiles of each split."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import shapely
from PIL import Image

from projects.city_scenes.city import City

from ...height_classes import HeightClasses
from .contact_sheet import class_colors

SIZE_PX, LEGEND_PX = 1200, 28
SPLIT_COLORS = ((0, 0, 0), (0, 70, 220), (200, 0, 160), (200, 30, 0), (0, 120, 60), (120, 90, 0))


def write_overview(
    path: Path, city: City, west_north_m: Mapping[str, np.ndarray], tile_m: float, classes: HeightClasses
) -> None:
    """Draws footprints in the colours of their classes of height, and the ground of each tile, as PNG.

    Args:
        path: The file.
        city: The city.
        west_north_m: For each split (N, 2), the upper left corners of its tiles.
        tile_m: Side of a tile.
        classes: The classes of height.
    """
    bounds = city.bounds_m
    west_north = np.array([bounds[:, 0].min(), bounds[:, 3].max()])
    sides = np.array([bounds[:, 2].max(), -bounds[:, 1].min()]) - west_north * (1, -1)
    scale = SIZE_PX / sides.max()
    width, height = np.ceil(sides * scale).astype(int).tolist()
    picture = np.full((height + LEGEND_PX, width, 3), 225, dtype=np.uint8)

    def to_px(points_m: np.ndarray) -> np.ndarray:
        return np.round((points_m - west_north) * (scale, -scale)).astype(np.int32)

    colors = class_colors(classes)[classes.index(city.buildings.heights_m)].tolist()
    for prism in np.argsort(city.drawn_heights_m, kind='stable'):
        polygon = city.buildings.polygons[prism]
        rings = [to_px(shapely.get_coordinates(ring)) for ring in (polygon.exterior, *polygon.interiors)]
        cv2.fillPoly(picture, rings, colors[prism])
    left = 8
    for name, color in zip(west_north_m, np.resize(SPLIT_COLORS, (len(west_north_m), 3)).tolist(), strict=True):
        for corner in west_north_m[name]:
            (x, y), (right, bottom) = to_px(corner), to_px(corner + np.array([tile_m, -tile_m]))
            cv2.rectangle(picture, (int(x), int(y)), (int(right) - 1, int(bottom) - 1), color, 2)
        cv2.putText(picture, name, (left, height + 19), cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, 2, cv2.LINE_AA)
        left += cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 2)[0][0] + 20
    Image.fromarray(picture).save(path)
