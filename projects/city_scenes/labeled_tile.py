"""One tile of a domain: its image, and the label that this domain gives it."""

from dataclasses import dataclass, replace

import numpy as np

from .city import City
from .domains import Domain, Flight
from .frame import Frame
from .labels import BuildingRecord, label
from .render import RenderedTile, render_tile
from .styles import style
from .surfaces import GROUND, Seen, see

ROOF, FACADE, FOOTPRINT = 1, 2, 4


@dataclass(frozen=True)
class LabeledTile:
    """An image and its label; all maps but the image and its surfaces are moved by the flight's displacement.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        surfaces: (H, W) uint8 What is seen: `ROOF` or `FACADE`, which together are the visible building; and
            `FOOTPRINT` added where a building stands, hidden or not.
        instances: (H, W) uint16 Buildings of the label, from 1 without gaps; 0 is none.
        heights_m: (H, W) float32 Height above ground of what the label shows: of the seen surface, or, for footprints,
            of the top over that place. 0 off buildings, NaN where unknown.
        roof_ids, footprint_ids: (H, W) int32 Where the label's buildings have their seen roof and their footprint.
        records: The label's buildings, in the order of their numbers.
    """

    image: np.ndarray
    surfaces: np.ndarray
    instances: np.ndarray
    heights_m: np.ndarray
    roof_ids: np.ndarray
    footprint_ids: np.ndarray
    records: list[BuildingRecord]


def label_tile(
    city: City,
    domain: Domain,
    flight: Flight,
    west_north_m: tuple[float, float],
    tile_px: int,
    min_area_px: int,
    seed: int,
) -> LabeledTile:
    """Renders a tile and labels it.

    A label that is moved by d shows at each place what is at that place minus d. So its maps are those of a tile that
    lies d off, seen in the same view: exact to a fraction of a pixel, and whole at the border of the tile.

    Args:
        city: The city.
        domain: Says which label.
        flight: Angles, sun and displacement.
        west_north_m: The tile's upper left corner.
        tile_px: Its side in pixels.
        min_area_px: Buildings with fewer pixels in the label are left out of it, as background.
        seed: Draws the light of the day and the noise.

    Returns:
        Image and label.
    """
    size_px = (tile_px, tile_px)
    rendered = render_tile(city, west_north_m, size_px, flight.view, flight.sun, seed, style(domain.style))
    (west, north), (east_m, north_m) = west_north_m, flight.displacement_m
    frame = Frame(west - east_m, north - north_m, flight.view.gsd_m, size_px)
    if domain.label == 'tier':
        city = city.tiers_apart
    seen = see(city, frame, flight.view.offset_m(1.0))
    labels = label(city, frame, flight.view, seen)
    if domain.label == 'footprint':
        ids, shown = labels.footprint_ids, see(city, frame, np.zeros(2))
    elif domain.label in ('roof', 'tier'):
        ids, shown = labels.roof_ids, seen
    else:
        ids, shown = labels.roof_ids + labels.facade_ids, seen
    kept = np.bincount(ids.ravel(), minlength=len(labels.records) + 1) >= min_area_px
    kept[0] = False
    numbers = np.cumsum(kept) * kept
    instances = numbers[ids].astype(np.uint16)
    records = [replace(r, instance=int(numbers[r.instance])) for r in labels.records if kept[r.instance]]
    return LabeledTile(
        rendered.image,
        _surfaces(rendered),
        instances,
        _heights_m(city, shown, instances > 0),
        numbers[labels.roof_ids].astype(np.int32),
        numbers[labels.footprint_ids].astype(np.int32),
        records,
    )


def _surfaces(tile: RenderedTile) -> np.ndarray:
    parts = ((ROOF, tile.roof_ids), (FACADE, tile.facade_ids), (FOOTPRINT, tile.footprint_ids))
    return sum(((ids > 0) * np.uint8(value) for value, ids in parts), np.zeros(tile.roof_ids.shape, np.uint8))


def _heights_m(city: City, seen: Seen, building: np.ndarray) -> np.ndarray:
    """Heights of the seen points on buildings; unknown where the prism that is seen has no height."""
    owners = np.concatenate([city.wall_prisms, np.arange(len(city.buildings.polygons))])
    unknown = np.isnan(city.buildings.heights_m)[owners][seen.surface] & (seen.surface != GROUND)
    return np.where(building, np.where(unknown, np.nan, seen.height_m), 0).astype(np.float32)
