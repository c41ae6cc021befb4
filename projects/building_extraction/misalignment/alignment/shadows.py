"""Heights from shadows, where the sun's position is known.

The shadow of a roof of height h falls on the ground h · s away from its footprint, s being the shadow of a point one
metre high; the roof itself is seen h · l away from it, l being the lean of such a point. So the tip of the shadow is
seen h · (s - l) away from where the roof is seen, wherever leans begin. Rays follow the ground that way, from the
outline on; the first place at which most of them rise from shadow to light, by as much as they do behind other
buildings, is the tip.
"""

import warnings
from dataclasses import dataclass

import cv2
import numpy as np

from projects.geodata.raster_writing import rasterize

from .outlines import Outlines

MIN_PER_M = 0.3  # of a metre's height, that the tip moves: less when the view looks along the shadows
MIN_LENGTH_PX = 3.0
OWN_PX = 2.0  # of a ray, that the outline may cover
FACING = 0.3  # cosine from which a wall looks the way that shadows fall
LOG_FROM = 8.0  # grey levels that are added before logarithms are taken
REACH_M = 2.5  # before and behind a tip, whose means are compared
MIN_SEEN = 0.3  # share of the rays that reach so far over open ground
TIPS = 0.6  # quantile of the buildings' strongest rises that is taken as usual at tips
MIN_RISE = 0.3  # of the logarithm, at tips
RISE_DEVIATION = 0.15
AGREEING = 0.6  # share of the rays that rise by half of it
EARLIER = 0.7  # of the usual rise: what rises so before is the tip
PEAK = 0.7  # of the rise at a tip: what rises more beside it tells its middle
MOST = 20.0  # logarithm beyond which evidence is certain
MIN_EVIDENCE = 2.0
USUAL_M = 30.0  # heights are exponentially rarer
NEAR = (1.5, 0.1)  # metres, and share of the height: what is nearer than the greater of them is the same height
SURE = 0.8  # probability of being so near
TIP_PX, ROOF_M = 1.0, 0.5  # deviations of a tip as it is seen, and of heights of one roof


@dataclass(frozen=True)
class Shadows:
    """What shadows say of buildings: heights (N,) and their standard deviations in metres, NaN where nothing."""

    heights_m: np.ndarray
    deviations_m: np.ndarray

    @classmethod
    def none(cls, count: int) -> 'Shadows':
        """Of so many buildings."""
        return cls(np.full(count, np.nan), np.full(count, np.nan))


def shadow_per_m(elevation_deg: float, azimuth_deg: float) -> np.ndarray:
    """(2,) Metres east and north by which the shadow of a point one metre above ground lies off it.

    Args:
        elevation_deg: Of the sun above the horizon.
        azimuth_deg: Direction towards the sun, clockwise from north.
    """
    azimuth = np.radians(azimuth_deg)
    return -np.array([np.sin(azimuth), np.cos(azimuth)]) / np.tan(np.radians(elevation_deg))


def shadow_heights(
    image: np.ndarray, valid: np.ndarray, roofs_px: np.ndarray, per_m_px: np.ndarray, gsd_m: float, max_height_m: float
) -> Shadows:
    """Heights of buildings whose shadow ends on open ground.

    Args:
        image: (H, W, 3) or (H, W) Grey levels of 0 to 255.
        valid: (H, W) Which pixels have data.
        roofs_px: (N,) Polygons where roofs are seen.
        per_m_px: (2,) Right and down, by which the tip of a shadow moves away from the roof for each metre of height.
        gsd_m: Ground sample distance.
        max_height_m: Highest that is looked for.
    """
    speed, result = float(np.linalg.norm(per_m_px)), Shadows.none(len(roofs_px))
    if speed * gsd_m < MIN_PER_M or not len(roofs_px):
        return result
    reach = max(int(REACH_M / gsd_m), 2)
    outlines = Outlines.of(roofs_px)
    away = outlines.normals @ (per_m_px / speed) > FACING
    owners = np.repeat(np.arange(len(roofs_px)), np.diff(outlines.first))[away]
    points, ground = outlines.points_px[away], _open_ground(image, valid, roofs_px)
    numbers = np.unique(owners).tolist()
    last = round(speed * max_height_m) + reach
    rises = [_rises(_rays(ground, points[owners == n], per_m_px / speed, last), reach) for n in numbers]
    middles = [_middle(each) for each in rises]
    rise, noise = _usual(middles)
    if not rise >= MIN_RISE:
        return result
    for number, each, middle in zip(numbers, rises, middles, strict=True):
        found = _height(each, middle, reach, rise, noise, speed)
        result.heights_m[number], result.deviations_m[number] = found
    return result


def _open_ground(image: np.ndarray, valid: np.ndarray, roofs_px: np.ndarray) -> np.ndarray:
    """(H, W) float32 logarithm of the brightness; NaN on roofs and where nothing is known."""
    gray = image if image.ndim == 2 else image.mean(axis=2)
    brightness = np.log(cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 0.8) + LOG_FROM)
    roofs = rasterize(roofs_px, np.ones(len(roofs_px), np.uint8), gray.shape[::-1], (1, 0, 0, 0, 1, 0), np.uint8)
    return np.where((roofs > 0) | ~valid, np.float32(np.nan), brightness)


def _rays(ground: np.ndarray, points_px: np.ndarray, direction: np.ndarray, last: int) -> np.ndarray:
    """(P, T) What is seen from points on, pixel by pixel, until something covers it; NaN from there on."""
    steps = np.arange(0.5, last)
    places = np.floor(points_px[:, None] + steps[:, None] * direction).astype(int)
    height, width = ground.shape
    x, y = places[..., 0], places[..., 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    seen = np.where(inside, ground[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)], np.nan)
    begins = np.cumsum(np.isfinite(seen), axis=1) == 0
    covered = np.isnan(seen) & ~(begins & (steps <= OWN_PX))
    return np.where(np.logical_or.accumulate(covered, axis=1), np.nan, seen)


def _rises(rays: np.ndarray, reach: int) -> np.ndarray:
    """(P, T + 1) By how much rays (P, T) rise between pixels: means of `reach` pixels behind, less those before."""
    known = np.isfinite(rays)
    sums, counts = (np.pad(np.cumsum(each, axis=1), ((0, 0), (1, 0))) for each in (np.nan_to_num(rays), known))
    places = np.arange(rays.shape[1] + 1)
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach, rays.shape[1])
    before, behind = counts - counts[:, low], counts[:, high] - counts
    seen = (before >= np.maximum((places - low) / 2, 1)) & (behind >= reach / 2)
    rises = (sums[:, high] - sums) / np.maximum(behind, 1) - (sums - sums[:, low]) / np.maximum(before, 1)
    return np.where(seen, rises, np.nan)


def _middle(rises: np.ndarray) -> np.ndarray:
    """(T,) Medians of rays (P, T); NaN where fewer than `MIN_SEEN` of them are seen."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # of columns that nothing is known of
        return np.where(np.isfinite(rises).mean(axis=0) >= MIN_SEEN, np.nanmedian(rises, axis=0), np.nan)


def _usual(middles: list[np.ndarray]) -> tuple[float, float]:
    """How much buildings' medians rise at tips, and the deviation of these medians elsewhere; NaN if none is known."""
    seen = [middle[np.isfinite(middle)] for middle in middles]
    highest = [each.max() for each in seen if len(each)]
    if not highest:
        return np.nan, np.nan
    return float(np.quantile(highest, TIPS)), max(1.4826 * float(np.median(np.abs(np.concatenate(seen)))), 0.05)


def _height(
    rises: np.ndarray, middle: np.ndarray, reach: int, rise: float, noise: float, speed: float
) -> tuple[float, float]:
    """Height and deviation of a building by its rays (P, T); NaN if they leave it open.

    Args:
        rises: Of `_rises`.
        middle: Of `_middle`.
        reach: Of `_rises`.
        rise: That is usual at tips.
        noise: Deviation of rises elsewhere.
        speed: Pixels by which a tip moves for each metre of height.
    """
    heights_m = np.arange(rises.shape[1]) / speed
    seen = np.maximum(np.isfinite(rises).sum(axis=0), 1)
    agreeing = (np.nan_to_num(rises) > rise / 2).sum(axis=0) / seen >= AGREEING
    middle = np.where(np.isfinite(middle), middle, 0)
    earlier = np.pad(np.maximum.accumulate(middle), (reach, 0))[: len(middle)]
    evidence = middle**2 / (2 * noise**2) - (np.minimum(middle, rise) - rise) ** 2 / (2 * RISE_DEVIATION**2)
    possible = (middle > 0) & agreeing & (earlier <= EARLIER * rise)
    evidence = np.where(possible, np.minimum(evidence, MOST), -MOST) - heights_m / USUAL_M
    chances = np.exp(evidence - evidence.max())
    chances /= chances.sum()
    first = int(chances.argmax())
    best = first + int(middle[first : first + 2 * reach].argmax())
    near = np.abs(heights_m - heights_m[best]) <= max(NEAR[0], NEAR[1] * heights_m[best])
    if best < MIN_LENGTH_PX or evidence[best] < MIN_EVIDENCE or chances[near].sum() < SURE:
        return np.nan, np.nan
    peak = np.where(near & possible, np.maximum(middle - PEAK * middle[best], 0), 0)  # a triangle around the tip
    spread_m = float(np.sqrt(np.average((heights_m[near] - heights_m[best]) ** 2, weights=chances[near])))
    return float(np.average(heights_m, weights=peak)), float(np.linalg.norm([spread_m, TIP_PX / speed, ROOF_M]))
