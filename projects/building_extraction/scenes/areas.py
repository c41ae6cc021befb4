"""Ground for each split: divided so that no split sees another's buildings, and all have all classes of height."""

from dataclasses import dataclass

import numpy as np

NUM_CUTS = 1500
NUM_DRAWS = 100


@dataclass(frozen=True)
class Demand:
    """What a split asks of the ground.

    Attributes:
        share: Its part of the ground, relative to the other splits'.
        reach_m: How far off the tallest building can appear in it.
    """

    share: float
    reach_m: float


@dataclass(frozen=True)
class Places:
    """Buildings as points.

    Attributes:
        points_m: (N, 2) Metres east and north.
        classes: (N,) Class of height of each.
        num_classes: Number of classes that are to be found everywhere.
    """

    points_m: np.ndarray
    classes: np.ndarray
    num_classes: int

    def count(self, bounds_m: np.ndarray) -> np.ndarray:
        """Buildings per class in rectangles.

        Args:
            bounds_m: (R, 4) West, south, east and north.

        Returns:
            (R, num_classes).
        """
        order = np.argsort(self.points_m[:, 0], kind='stable')
        east, north = self.points_m[order].T
        classes = self.classes[order]
        counts = np.zeros((len(bounds_m), self.num_classes), dtype=int)
        for row, (west, south, right, top) in enumerate(bounds_m):
            run = slice(*np.searchsorted(east, (west, right)))
            inside = classes[run][(north[run] >= south) & (north[run] < top)]
            counts[row] = np.bincount(inside[inside < self.num_classes], minlength=self.num_classes)
        return counts


def divide_ground(
    extent_m: tuple[float, float, float, float], demands: dict[str, Demand], places: Places, tile_m: float
) -> dict[str, np.ndarray]:
    """Cuts a rectangle of ground into one for each split.

    Between two splits a strip is left out, as wide as the tallest building can lean into both together: no roof is
    seen from both sides. Of `NUM_CUTS` random ways to cut, each with straight cuts through and through, the one is
    taken in which the split and class with the fewest buildings for its share of the ground has the most.

    Args:
        extent_m: West, south, east and north of all the ground.
        demands: What each split asks.
        places: Where the buildings are.
        tile_m: Side of a tile: the least side of an area.

    Returns:
        For each split (4,) west, south, east and north.

    Raises:
        ValueError: The ground is too small.
    """
    random = np.random.default_rng(0)
    totals = np.maximum(places.count(np.array([extent_m]))[0], 1)
    shares = np.array([demand.share for demand in demands.values()])
    fair = shares[:, None] / shares.sum() * totals
    best, best_score = None, (-1.0, -1.0)
    for _ in range(NUM_CUTS):
        areas = _cut(np.array(extent_m, dtype=float), list(random.permutation(list(demands))), demands, random)
        bounds = np.array([areas[name] for name in demands])
        if (bounds[:, 2:] - bounds[:, :2] < tile_m).any():
            continue
        coverage = np.minimum(places.count(bounds) / np.maximum(fair, 1e-9), 1)[:, totals > 1]
        score = (float(coverage.min(initial=1)), float(coverage.mean()) if coverage.size else 1.0)
        if score > best_score:
            best, best_score = areas, score
    if best is None:
        west, south, east, north = extent_m
        reach = max(demand.reach_m for demand in demands.values())
        raise ValueError(
            f'The ground, {east - west:.0f} x {north - south:.0f} m, is too small for tiles of {tile_m:.0f} m in '
            f'{len(demands)} separate parts, of which the tallest roof leans {reach:.0f} m: take a larger city, '
            'smaller tiles or smaller off-nadir angles.'
        )
    return best


def _cut(
    bounds: np.ndarray, names: list[str], demands: dict[str, Demand], random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Divides a rectangle among these splits at random; a side that is too short comes out negative."""
    if len(names) == 1:
        return {str(names[0]): bounds}
    first = int(random.integers(1, len(names)))
    axis = int(random.integers(2))
    parts = names[:first], names[first:]
    gap = sum(max(demands[name].reach_m for name in part) for part in parts)
    shares = [sum(demands[name].share for name in part) for part in parts]
    length = (bounds[axis + 2] - bounds[axis] - gap) * shares[0] / sum(shares)
    lower, upper = bounds.copy(), bounds.copy()
    lower[axis + 2] = bounds[axis] + length
    upper[axis] = lower[axis + 2] + gap
    return _cut(lower, parts[0], demands, random) | _cut(upper, parts[1], demands, random)


def place_tiles(
    area_m: np.ndarray, num_tiles: int, tile_m: float, places: Places, random: np.random.Generator
) -> np.ndarray:
    """Chooses where the tiles of a split lie.

    As long as they fit they lie on a grid and do not overlap; of the cells with buildings a random choice is taken,
    out of `NUM_DRAWS` the one in which the rarest class is best represented. If more tiles are asked for than there
    are such cells, all of these are taken, and the others lie at random places up to half a tile from one, which they
    overlap.

    Args:
        area_m: (4,) West, south, east and north.
        num_tiles: How many to place.
        tile_m: Side of a tile.
        places: Where the buildings are.
        random: Source of chance.

    Returns:
        (num_tiles, 2) West and north of each tile.

    Raises:
        ValueError: The area holds no building.
    """
    low, high = area_m[:2], area_m[2:] - tile_m
    steps = np.floor((area_m[2:] - area_m[:2]) / tile_m + 1e-9).astype(int)
    axes = [np.linspace(low[k], high[k], steps[k]) if steps[k] > 1 else (low[k : k + 1] + high[k]) / 2 for k in (0, 1)]
    cells = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    counts = places.count(np.hstack([cells, cells + tile_m]))
    built = counts.any(axis=1)
    if not built.any():
        raise ValueError(f'The area {np.round(area_m).tolist()} (west, south, east, north) holds no building.')
    cells, counts = cells[built], counts[built]
    if num_tiles <= len(cells):
        draws = [random.permutation(len(cells))[:num_tiles] for _ in range(NUM_DRAWS)]
        present = counts.sum(axis=0) > 0
        shares = [counts[draw].sum(axis=0)[present] / counts.sum(axis=0)[present] for draw in draws]
        southwest = cells[np.sort(draws[int(np.argmax([share.min() for share in shares]))])]
    else:
        extra = num_tiles - len(cells)
        around = cells[random.integers(len(cells), size=extra)]
        moved = random.uniform(np.maximum(around - tile_m / 2, low), np.minimum(around + tile_m / 2, high))
        southwest = np.concatenate([cells, moved])
    return southwest + np.array([0, tile_m])
