"""Outlines in longitude and latitude: whether they can be, and on which side of the date line; needs shapely alone."""

from pathlib import Path

import numpy as np
import shapely

MAX_STRAY_SHARE = 0.5  # of the features; where more have other coordinates, the file is not in degrees
SWAPPED = 'latitude seems to stand before longitude: swap both (in QGIS: Swap X and Y coordinates)'


def are_degrees(bounds: np.ndarray, longitude_deg: float = 180.0) -> np.ndarray:
    """Which boxes (N, 4) may be in longitude and latitude."""
    return (np.abs(bounds) <= [longitude_deg, 90, longitude_deg, 90]).all(axis=-1)


def place_on_earth(outlines: np.ndarray, path: Path, remedy: str) -> tuple[np.ndarray, int]:
    """Outlines whose coordinates are degrees, each on the side of the date line where its middle lies.

    Longitudes beyond 180 become those of the same meridian. What reaches around more than half of the Earth is taken
    for a building that the date line cuts, and goes on beyond 180.

    Args:
        outlines: (N,) Geometries in two dimensions, or None.
        path: Their file, for messages.
        remedy: What to do if they are in another system.

    Returns:
        (N,) The same, None where a coordinate is no longitude or latitude; and how many these are.

    Raises:
        ValueError: Most of them are.
    """
    bounds = shapely.bounds(outlines)
    known = np.isfinite(bounds).all(axis=1)
    stray = known & ~are_degrees(bounds, 360)
    if stray.sum() > MAX_STRAY_SHARE * known.sum():
        corners = bounds[stray][0].round(6).tolist()
        is_swapped = are_degrees(bounds[stray][:, [1, 0, 3, 2]]).all()
        raise ValueError(
            f'{path}: coordinates such as {tuple(corners[:2])} to {tuple(corners[2:])} are no degrees of longitude and '
            f'latitude; {SWAPPED if is_swapped else remedy}'
        )
    placed = np.array(outlines, dtype=object)
    placed[stray] = None
    west, _, east, _ = np.where(np.isfinite(bounds), bounds, 0).T
    splits = known & ~stray & (east - west > 180)
    turns = np.where(known & ~stray & ~splits, np.round((west + east) / 720), 0)
    if (splits | (turns != 0)).any():
        points, owner = shapely.get_coordinates(placed, return_index=True)
        points[:, 0] += 360 * ((splits[owner] & (points[:, 0] < 0)) - turns[owner])
        shapely.set_coordinates(placed, points)
    return placed, int(stray.sum())


def turn_towards(outlines: np.ndarray, longitude_deg: float) -> np.ndarray:
    """Outlines (N,) in degrees, None allowed, each as near to a longitude as whole turns bring it."""
    west, _, east, _ = shapely.bounds(outlines).T
    turns = np.nan_to_num(np.round((longitude_deg - (west + east) / 2) / 360))
    points, owner = shapely.get_coordinates(outlines, return_index=True)
    return shapely.set_coordinates(np.array(outlines, dtype=object), points + 360 * turns[owner][:, None] * [1, 0])
