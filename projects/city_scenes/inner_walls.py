"""Walls between the tiers of one building: part of its roof, as an annotator outlines it."""

import numpy as np
import shapely

from .city import City
from .frame import Frame
from .surfaces import GROUND, Seen

STEP_M = 0.25
"""A wall stands on its own building if that goes on so far outside of it: survey gaps between tiers are narrower."""


def inner_walls(city: City, frame: Frame, offset_m: np.ndarray, seen: Seen) -> np.ndarray:
    """Which pixels show a wall that lies within the roof of its own building.

    That is one that stands on the building, not on its border, and behind which the line of sight passes through the
    building at the height of one of its roofs. So roofs of steps and of towers on a podium are whole, while the facade
    of a tower that leans out beyond its podium is none.

    Args:
        city: The prisms.
        frame: Pixels of the view.
        offset_m: (2,) Metres east and north by which a point is displaced per metre of height.
        seen: What the view shows.

    Returns:
        (H, W) bool.
    """
    surface = seen.surface.ravel()
    pixels = np.flatnonzero((surface != GROUND) & (surface < len(city.wall_prisms)))
    walls = surface[pixels]
    structures = city.surface_structures[walls]
    stepped = city.tiers[structures] > 1
    pixels, walls, structures = pixels[stepped], walls[stepped], structures[stepped]
    rows, columns = np.divmod(pixels, frame.size_px[1])
    places = np.column_stack([columns + 0.5, -rows - 0.5]) * frame.gsd_m + (frame.west_m, frame.north_m)
    along = city.walls.ends_m[walls] - city.walls.starts_m[walls]
    outward = along[:, ::-1] * (1, -1) / np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None]
    beyond = places - seen.height_m.ravel()[pixels, None] * offset_m + STEP_M * outward
    inner = np.zeros(seen.surface.shape, dtype=bool)
    for structure in np.unique(structures):
        own = structures == structure
        own[own] = shapely.contains_xy(city.structure_outlines[structure], beyond[own])
        own[own] = _under_a_roof(city, structure, places[own], offset_m)
        inner.ravel()[pixels[own]] = True
    return inner


def _under_a_roof(city: City, structure: int, places_m: np.ndarray, offset_m: np.ndarray) -> np.ndarray:
    """Whether lines of sight pass through a building at the height of one of its roofs."""
    prisms = city.structure_prisms[structure]
    heights = city.drawn_heights_m[prisms]
    under = np.zeros(len(places_m), dtype=bool)
    for level in np.unique(heights):
        at_level = places_m - level * offset_m
        for polygon in city.buildings.polygons[prisms[heights >= level]]:
            under |= shapely.contains_xy(polygon, at_level)
    return under
