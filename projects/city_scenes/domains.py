"""Domains: how one part of a data set was seen by the camera, and how it was labelled."""

import math
from dataclasses import dataclass

import numpy as np

from .daylight import Daylight
from .styles import style
from .sunlight import Sun
from .view import View

LABELS = ('roof', 'footprint', 'visible', 'tier')


@dataclass(frozen=True)
class Flight:
    """How one tile is seen and labelled.

    Attributes:
        view: Ground sample distance and angles.
        sun: Where the sun stands.
        displacement_m: How far the label is moved, metres east and north; the image stays.
    """

    view: View
    sun: Sun
    displacement_m: tuple[float, float]


@dataclass(frozen=True)
class Domain:
    """What the tiles of one split have in common.

    Angles and displacement are drawn anew for each tile, uniformly within their ranges, as a mosaic of many flights
    has them. With one fixed view the displacement of roofs is no noise: a network learns it.

    Attributes:
        num_tiles: How many tiles to render.
        off_nadir_deg: Lowest and highest angle between line of sight and vertical.
        azimuth_deg: Directions in which roofs lean, clockwise from north.
        registration_error_m: Standard deviation, east and north each, of the label's normal displacement.
        label: 'roof' (roofs where they are seen), 'footprint' (where buildings stand, hidden or not), 'visible'
            (roofs and facades that are seen) or 'tier' (as 'roof', each tier a building of its own: one offset moves
            the roof of a prism to its footprint, but none that of a tower on a podium).
        sun_elevation_deg: Heights of the sun above the horizon.
        sun_azimuth_deg: Directions towards the sun; the default is its path at noon in Melbourne, in the north.
        daylight: Place, dates and hours that say where the sun stands, instead of these two.
        style: Looks of the region, of `styles.STYLES`.
    """

    num_tiles: int
    off_nadir_deg: tuple[float, float] = (0.0, 10.0)
    azimuth_deg: tuple[float, float] = (0.0, 360.0)
    registration_error_m: float = 0.0
    label: str = 'roof'
    sun_elevation_deg: tuple[float, float] = (35.0, 65.0)
    sun_azimuth_deg: tuple[float, float] = (-60.0, 60.0)
    daylight: Daylight | None = None
    style: str = 'plain'

    def __post_init__(self) -> None:
        if self.num_tiles < 1:
            raise ValueError(f'num_tiles = {self.num_tiles}: expected at least 1.')
        style(self.style)
        if self.label not in LABELS:
            raise ValueError(f'label = {self.label!r}: expected one of {", ".join(LABELS)}.')
        if not 0 <= self.registration_error_m < math.inf:
            raise ValueError(f'registration_error_m = {self.registration_error_m}: expected 0 or more metres.')
        for name in ('off_nadir_deg', 'azimuth_deg', 'sun_elevation_deg', 'sun_azimuth_deg'):
            low, high = getattr(self, name)
            if not -math.inf < low <= high < math.inf:
                raise ValueError(f'{name} = {(low, high)}: expected the lowest and the highest angle in degrees.')
        if not 0 <= self.off_nadir_deg[0] <= self.off_nadir_deg[1] <= 75:
            raise ValueError(f'off_nadir_deg = {self.off_nadir_deg}: expected angles from 0 to 75 degrees.')
        if not 5 <= self.sun_elevation_deg[0] <= self.sun_elevation_deg[1] <= 90:
            raise ValueError(f'sun_elevation_deg = {self.sun_elevation_deg}: expected angles from 5 to 90 degrees.')

    @property
    def lean(self) -> float:
        """Largest displacement of a roof, as a share of its height."""
        return math.tan(math.radians(self.off_nadir_deg[1]))

    def draw(self, gsd_m: float, random: np.random.Generator) -> Flight:
        """Draws how one tile is seen.

        Args:
            gsd_m: Ground sample distance, metres per pixel.
            random: Source of chance.

        Returns:
            View, sun and displacement of the label.
        """
        off_nadir, azimuth, elevation, direction = (
            float(random.uniform(*limits))
            for limits in (self.off_nadir_deg, self.azimuth_deg, self.sun_elevation_deg, self.sun_azimuth_deg)
        )
        sun = Sun(elevation, direction % 360)
        if self.daylight is not None:
            sun = self.daylight.draw(float(random.random()))
        east, north = (self.registration_error_m * random.standard_normal(2)).tolist()
        return Flight(View(gsd_m, off_nadir, azimuth % 360), sun, (east, north))


def default_domains(source: int = 3200, target: int = 800, val: int = 200, test: int = 400) -> dict[str, Domain]:
    """The setting of the transfer study: a large noisy source, a small clean target.

    Args:
        source: Tiles of raw imagery, 10 to 40 degrees off nadir, labelled with footprints of 1.5 m registration error.
        target: Tiles of near-ortho imagery (0 to 10 degrees), labelled with the roofs that are seen.
        val: Like the target, on ground of its own.
        test: Likewise.

    Returns:
        The domains of the splits 'source', 'target', 'val' and 'test'.
    """
    noisy = Domain(source, off_nadir_deg=(10, 40), registration_error_m=1.5, label='footprint')
    return {'source': noisy, 'target': Domain(target), 'val': Domain(val), 'test': Domain(test)}
