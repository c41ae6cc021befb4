"""Masks and the table of buildings of a tile."""

from dataclasses import dataclass

import numpy as np
import shapely

from .city import City
from .frame import Frame
from .inner_walls import inner_walls
from .surfaces import GROUND, Seen, see
from .view import View


@dataclass(frozen=True)
class BuildingRecord:
    """A building of a tile.

    Attributes:
        instance: Its number in the tile's maps, from 1.
        structure: Its number in the city.
        height_m: Its top above ground; NaN if no tier's height is known.
        tiers: Number of its prisms.
        offset_px: How far its top is displaced, to the right and down; NaN if the height is unknown.
        visible_share: Roof pixels that are seen, of those that its whole roof fills; what other buildings hide and
            what lies beyond the tile is not seen.
    """

    instance: int
    structure: int
    height_m: float
    tiers: int
    offset_px: tuple[float, float]
    visible_share: float


@dataclass(frozen=True)
class Labels:
    """Where the buildings are; numbers from 1, 0 is none.

    Attributes:
        roof_ids, facade_ids: (H, W) int32 Buildings whose roof or facade is seen at each pixel. Walls between the
            tiers of one building belong to its roof, as an annotator outlines it (see `inner_walls`).
        footprint_ids: (H, W) int32 Buildings that stand at each pixel, hidden or not.
        records: One for each building that any of the maps shows.
    """

    roof_ids: np.ndarray
    facade_ids: np.ndarray
    footprint_ids: np.ndarray
    records: list[BuildingRecord]


def label(city: City, frame: Frame, view: View, seen: Seen) -> Labels:
    """Numbers the buildings of a tile.

    Args:
        city: The prisms.
        frame: Pixels of the view.
        view: The view.
        seen: What it shows.

    Returns:
        Maps and table, the buildings in the order of their numbers in the city.
    """
    on_ground = see(city, frame, np.zeros(2)).surface
    present = np.zeros(len(city.surface_structures) + 1, dtype=bool)
    present[seen.surface.ravel()] = present[on_ground.ravel()] = True
    present[GROUND] = False
    surfaces = np.flatnonzero(present)
    shown, which = np.unique(city.surface_structures[surfaces], return_inverse=True)
    instances = np.zeros(len(present), dtype=np.int32)
    instances[surfaces] = which + 1
    building_ids, footprint_ids = np.take(instances, seen.surface), np.take(instances, on_ground)
    is_roof = (seen.surface >= len(city.wall_prisms)) | inner_walls(city, frame, view.offset_m(1.0), seen)
    roof_ids = building_ids * is_roof
    seen_px = np.bincount(roof_ids.ravel(), minlength=len(shown) + 1)[1:]
    shares = np.minimum(seen_px * frame.gsd_m**2 / np.maximum(shapely.area(city.structure_outlines[shown]), 1e-9), 1)
    heights = city.structure_heights_m[shown]
    offsets = view.offset_px(heights)
    records = [
        BuildingRecord(n + 1, int(s), float(heights[n]), int(city.tiers[s]), (float(x), float(y)), float(shares[n]))
        for n, (s, (x, y)) in enumerate(zip(shown, offsets, strict=True))
    ]
    return Labels(roof_ids, building_ids - roof_ids, footprint_ids, records)
