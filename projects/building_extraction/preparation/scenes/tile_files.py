"""Writes the files of one rendered tile."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain, Flight
from projects.city_scenes.labeled_tile import LabeledTile, label_tile

from ...height_classes import HeightClasses
from ..tile_set import TileLabels, WrittenTile, write_image
from .building_coco import annotate
from .contact_sheet import outlined


@dataclass(frozen=True)
class TileJob:
    """All that decides about one tile, beside the city.

    Attributes:
        split: Name of its split.
        number: Its number in the split, from 0.
        west_north_m: Its upper left corner.
        tile_px: Its side.
        domain: Which label.
        flight: Angles, sun and displacement.
        seed: Draws light and noise.
        min_area_px: Smallest building of a label.
        preview: Whether to draw it for the contact sheet.
        classes: Classes of height, for the colours.
    """

    split: str
    number: int
    west_north_m: tuple[float, float]
    tile_px: int
    domain: Domain
    flight: Flight
    seed: int
    min_area_px: int
    preview: bool
    classes: HeightClasses

    @property
    def name(self) -> str:
        """Name of its files, without suffix."""
        return f'{self.split}_{self.number:05d}'


@dataclass(frozen=True)
class RenderedTile(WrittenTile):
    """What the files of the whole split need of a tile.

    Attributes:
        building_share: Share of its pixels that is building.
        preview: Picture for the contact sheet, if wanted.
    """

    building_share: float
    preview: np.ndarray | None


def write_tile(city: City, folder: Path, job: TileJob) -> RenderedTile:
    """Renders and writes one tile.

    Args:
        city: The city.
        folder: The data set; the split's folders must exist.
        job: The tile.

    Returns:
        What the split's own files need.
    """
    tile = label_tile(city, job.domain, job.flight, job.west_north_m, job.tile_px, job.min_area_px, job.seed)
    split = folder / job.split
    (west, north), gsd_m = job.west_north_m, job.flight.view.gsd_m
    place = (gsd_m, 0.0, west, 0.0, -gsd_m, north)
    image = write_image(split / 'images', job.name, tile.image, place, city.buildings.crs)
    TileLabels(tile.instances, tile.heights_m, _table(tile, job)).write(split, job.name)
    Image.fromarray(tile.surfaces).save(split / 'surfaces' / f'{job.name}.png')
    view, sun = job.flight.view, job.flight.sun
    image |= {'west_north_m': job.west_north_m, **asdict(view)}
    image |= {'sun_elevation_deg': sun.elevation_deg, 'sun_azimuth_deg': sun.azimuth_deg}
    image |= {'label': job.domain.label, 'label_displacement_m': job.flight.displacement_m}
    heights_m = np.array([np.nan, *(record.height_m for record in tile.records)])
    return RenderedTile(
        image,
        annotate(tile.instances, tile.roof_ids, tile.footprint_ids, tile.records),
        float((tile.instances > 0).mean()),
        outlined(tile.image, tile.instances, heights_m, job.classes) if job.preview else None,
    )


def _table(tile: LabeledTile, job: TileJob) -> list[dict[str, Any]]:
    """The buildings of a tile; unknown heights and offsets are null."""
    displacement = [round(value, 3) for value in job.flight.displacement_m]
    return [
        {
            'instance': record.instance,
            'height_m': record.height_m if np.isfinite(record.height_m) else None,
            'structure': record.structure,
            'tiers': record.tiers,
            'offset_px': [round(v, 3) for v in record.offset_px] if np.isfinite(record.height_m) else None,
            'visible_share': round(record.visible_share, 4),
            'label_displacement_m': displacement,
        }
        for record in tile.records
    ]
