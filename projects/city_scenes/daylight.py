"""Where the sun stands when images are taken: by latitude, date and time of day."""

import calendar
from dataclasses import dataclass
from functools import cache

import numpy as np

from .sunlight import Sun

MELBOURNE_LATITUDE_DEG = -37.8
"""Where the invented city lies."""
MINUTES = 5
LOWEST_DEG = 15.0
"""Nobody flies when the sun is lower: the shadows would cover the streets."""
DAYS_BEFORE = np.cumsum([0, *(calendar.monthrange(2001, month)[1] for month in range(1, 13))])


def sun_position(latitude_deg: float, day_of_year: np.ndarray, hour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the sun stands.

    The declination is the Fourier series of J. W. Spencer, "Fourier series representation of the position of the
    sun", Search 2 (5), 1971, p. 172: right to 0.035 degrees. Elevation and azimuth follow from it by spherical
    trigonometry; refraction is left out.

    Args:
        latitude_deg: North is positive.
        day_of_year: 1 to 365.
        hour: Solar time: at 12 the sun is highest.

    Returns:
        Elevation above the horizon, and azimuth clockwise from north, in degrees.
    """
    year = 2 * np.pi * (np.asarray(day_of_year) - 1) / 365
    declination = (
        0.006918
        - 0.399912 * np.cos(year)
        + 0.070257 * np.sin(year)
        - 0.006758 * np.cos(2 * year)
        + 0.000907 * np.sin(2 * year)
        - 0.002697 * np.cos(3 * year)
        + 0.00148 * np.sin(3 * year)
    )
    latitude, angle = np.radians(latitude_deg), np.radians(15) * (np.asarray(hour) - 12)
    east = -np.cos(declination) * np.sin(angle)
    north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(declination) * np.cos(angle)
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(angle)
    return np.degrees(np.arcsin(np.clip(up, -1, 1))), np.degrees(np.arctan2(east, north)) % 360


@dataclass(frozen=True)
class Daylight:
    """When the images of a place are taken.

    Attributes:
        latitude_deg: Of the place, north is positive.
        dates: First and last day of the year, as 'MM-DD'; from '11-01' to '02-28' is the winter of the north.
        hours: Earliest and latest solar time; at 12 the sun is highest.

    Raises:
        ValueError: There is no such latitude, date or hour, or the sun is never higher than `LOWEST_DEG` then.
    """

    latitude_deg: float
    dates: tuple[str, str] = ('01-01', '12-31')
    hours: tuple[float, float] = (10.0, 14.0)

    def __post_init__(self) -> None:
        if not -90 <= self.latitude_deg <= 90:
            raise ValueError(f'latitude_deg = {self.latitude_deg}: expected -90 (south) to 90 (north) degrees.')
        if not 0 <= self.hours[0] <= self.hours[1] <= 24:
            raise ValueError(f'hours = {self.hours}: expected the earliest and the latest, from 0 to 24.')
        _suns(self)

    def draw(self, chance: float) -> Sun:
        """The sun at one of the times at which it stands high enough.

        Args:
            chance: Which of them, from 0 to less than 1.
        """
        suns = _suns(self)
        return Sun(*suns[int(chance * len(suns))].tolist())


@cache
def _suns(daylight: Daylight) -> np.ndarray:
    """(T, 2) Elevation and azimuth every `MINUTES` of the range in which the sun stands high enough."""
    first, last = (_day_of_year(date) for date in daylight.dates)
    days = (first - 1 + np.arange((last - first) % 365 + 1)) % 365 + 1
    low, high = daylight.hours
    hours = np.linspace(low, high, round((high - low) * 60 / MINUTES) + 1)
    day, hour = (axis.ravel() for axis in np.meshgrid(days, hours, indexing='ij'))
    elevation, azimuth = sun_position(daylight.latitude_deg, day, hour)
    if elevation.max() < LOWEST_DEG:
        raise ValueError(
            f'at latitude {daylight.latitude_deg:g} the sun is {elevation.max():.1f} degrees high at most from '
            f"{' to '.join(daylight.dates)} between {low:g} and {high:g} o'clock of solar time; expected dates and "
            f'hours at which it reaches {LOWEST_DEG:g} degrees.'
        )
    return np.column_stack([elevation, azimuth])[elevation >= LOWEST_DEG]


def _day_of_year(date: str) -> int:
    """1 to 365; 02-29 is taken for 02-28."""
    try:
        month, day = (int(part) for part in date.split('-'))
        if not 1 <= day <= calendar.monthrange(2000, month)[1]:
            raise ValueError
    except ValueError:
        raise ValueError(f'{date!r} is no day of the year; expected MM-DD, such as 06-21.') from None
    return int(DAYS_BEFORE[month - 1]) + min(day, 28 if month == 2 else 31)
