"""What an alignment is made with."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects.command_line import UsageError

from .heights import MAX_OFF_NADIR_DEG

STEEPEST_DEG = 35.0  # off nadir, where the angle is unknown
LOWEST_SUN_DEG = 10.0  # below it shadows reach the next buildings
TALLEST_M = 80.0  # whose roofs are looked for, where no height is known


@dataclass(frozen=True)
class AlignmentSettings:
    """How labels are aligned to an image.

    Attributes:
        image: GeoTIFF or another raster that GDAL reads, north up.
        labels: Vector file of polygons.
        height_column: Of the labels; metres above ground of some or all.
        off_nadir_deg: Angle between line of sight and vertical, if it is known.
        azimuth_deg: Direction in which roofs lean in the image, clockwise from north, if it is known.
        registration_m: Metres east and north from a label to where the ground below it is seen, if that is known.
        sun_deg: Elevation of the sun above the horizon, and direction towards it, clockwise from north, if known.
        max_shift_m: Longest registration shift that is searched.
        max_height_m: Of buildings whose roofs are looked for; None: the highest that is stated, or `TALLEST_M`.
        probabilities: Raster of probabilities of roof, as a model predicts it, for a second round; None: none.
        values: What its values mean; None: as it says itself.
        bands: Of the image, as red, green and blue.
        layer: Of the labels' file.
        assume_crs: Coordinate system of labels that state none.

    Raises:
        UsageError: An angle or a length is none.
        FileNotFoundError: There is no such raster of probabilities.
    """

    image: Path
    labels: Path
    height_column: str | None = None
    off_nadir_deg: float | None = None
    azimuth_deg: float | None = None
    registration_m: tuple[float, float] | None = None
    sun_deg: tuple[float, float] | None = None
    max_shift_m: float = 8.0
    max_height_m: float | None = None
    probabilities: Path | None = None
    values: str | None = None
    bands: tuple[int, ...] | None = None
    layer: str | None = None
    assume_crs: str | None = None

    def __post_init__(self) -> None:
        if self.off_nadir_deg is not None and not 0 <= self.off_nadir_deg <= MAX_OFF_NADIR_DEG:
            raise UsageError(
                f'off_nadir_deg = {self.off_nadir_deg:g}: expected 0 to {MAX_OFF_NADIR_DEG:g} degrees; farther off '
                'nadir walls hide the roofs behind them'
            )
        if self.azimuth_deg is not None and not np.isfinite(self.azimuth_deg):
            raise UsageError(f'azimuth_deg = {self.azimuth_deg}: expected degrees clockwise from north')
        sun_deg = self.sun_deg or (90.0, 0.0)
        if not (LOWEST_SUN_DEG <= sun_deg[0] <= 90 and np.isfinite(sun_deg[1])):
            raise UsageError(
                f'sun_deg = {self.sun_deg}: expected its elevation, {LOWEST_SUN_DEG:g} to 90 degrees, and the '
                'direction towards the sun, clockwise from north'
            )
        for name in ('max_shift_m', 'max_height_m'):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise UsageError(f'{name} = {value}: expected metres, more than 0')
        if self.registration_m is not None and not np.isfinite(self.registration_m).all():
            raise UsageError(f'registration_m = {self.registration_m}: expected metres east and north')

        if self.probabilities is not None and not self.probabilities.is_file():
            raise FileNotFoundError(f'--probabilities: the raster {self.probabilities} does not exist')

    def highest_m(self, heights_m: np.ndarray) -> float:
        """Highest building that is looked for; `heights_m` (N,) are stated."""
        known_m = heights_m[np.isfinite(heights_m)]
        stated_m = float(known_m.max()) if len(known_m) == len(heights_m) and len(known_m) else 0.0
        return self.max_height_m or max(stated_m, TALLEST_M * (not stated_m), float(known_m.max(initial=0.0)))

    def max_lean_m(self, heights_m: np.ndarray) -> float:
        """Longest lean that is looked for; `heights_m` (N,) are stated."""
        angle_deg = STEEPEST_DEG if self.off_nadir_deg is None else self.off_nadir_deg
        return max(self.highest_m(heights_m) * float(np.tan(np.radians(angle_deg))), 3.0)

    def made_with(self) -> dict[str, Any]:
        """What results follow from, the files by their size and time."""
        told: dict[str, Any] = asdict(self)
        for name in ('image', 'labels', 'probabilities'):
            if (file := told[name]) is not None:
                at = Path(file).stat()
                told[name] = f'{Path(file).resolve()} ({at.st_size} bytes, {at.st_mtime_ns})'
        return told
