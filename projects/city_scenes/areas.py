"""Ground for each split: no building is seen in two of them, and all have all classes of height.

The ground is cut into a rectangle for each split, and each building belongs to the split in whose rectangle it stands,
with all of its tiers. Tiles that may show a building of another split, as a whole or in part, are not taken. So a tower
costs the places around it that it can lean into, not a strip across the city.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import shapely

from .city import City

NUM_CUTS, NUM_TRIED = 500, 20
"""So many ways to cut the ground are drawn; tiles are laid out on the most promising ones."""
EVENNESS = (0.0, 0.5, 1.0)
"""How far parts of the ground are made equal, one after the other, until each split has a tile."""
NUM_DRAWS = 100
PHASES = 2
"""A grid of tiles is tried at so many offsets along each axis."""
SHARE_SPREAD = 0.1
"""A split's part of the ground differs from what it asks for by up to this share, by chance."""
ROUNDING_M = 0.02


@dataclass(frozen=True)
class Demand:
    """What a split asks of the ground.

    Attributes:
        share: Its part of the built ground, relative to the other splits'.
        lean: Largest displacement of a roof in it, as a share of its height.
        margin_m: Largest displacement of its labels.
    """

    share: float
    lean: float = 0.0
    margin_m: float = 0.0


class Places:
    """Where the buildings of a city stand, and from how far off they are seen.

    Args:
        city: The city.
        classes: (S,) Class of height of each structure.
        num_classes: Number of classes that are to be found everywhere.
    """

    def __init__(self, city: City, classes: np.ndarray, num_classes: int) -> None:
        self.city, self.classes, self.num_classes = city, classes, num_classes
        self.points_m = shapely.get_coordinates(shapely.point_on_surface(city.structure_outlines))
        order = np.argsort(self.points_m[:, 0], kind='stable')
        self._east, self._north = self.points_m[order].T
        self._classes = classes[order]

    def inside(self, bounds_m: np.ndarray) -> np.ndarray:
        """(S,) Which structures stand in a rectangle of west, south, east and north."""
        return ((self.points_m >= bounds_m[:2]) & (self.points_m < bounds_m[2:])).all(axis=1)

    def count(self, bounds_m: np.ndarray) -> np.ndarray:
        """Buildings per class in rectangles.

        Args:
            bounds_m: (R, 4) West, south, east and north.

        Returns:
            (R, num_classes).
        """
        counts = np.zeros((len(bounds_m), self.num_classes), dtype=int)
        for row, (west, south, right, top) in enumerate(bounds_m):
            run = slice(*np.searchsorted(self._east, (west, right)))
            inside = self._classes[run][(self._north[run] >= south) & (self._north[run] < top)]
            counts[row] = np.bincount(inside[inside < self.num_classes], minlength=self.num_classes)
        return counts

    def show_others(self, southwest_m: np.ndarray, tile_m: float, own: np.ndarray, demand: Demand) -> np.ndarray:
        """Which tiles may show, in the image or in the label, a structure that is not among a split's own.

        Args:
            southwest_m: (T, 2) West and south of each tile.
            tile_m: Side of a tile.
            own: (S,) bool The split's structures.
            demand: How far roofs lean in it, whatever the direction, and labels are displaced.

        Returns:
            (T,) bool.
        """
        city, shown = self.city, np.zeros(len(southwest_m), dtype=bool)
        tallest = city.drawn_heights_m.max() * demand.lean + demand.margin_m + ROUNDING_M
        tiles = shapely.box(*southwest_m.T, *(southwest_m + tile_m).T)
        around = shapely.box(*(southwest_m - tallest).T, *(southwest_m + tile_m + tallest).T)
        tile, prism = city.index.query(around)
        other = ~own[city.buildings.structures[prism]]
        tile, prism = tile[other], prism[other]
        reach_m = city.drawn_heights_m[prism] * demand.lean + demand.margin_m + ROUNDING_M
        shown[tile[shapely.dwithin(city.buildings.polygons[prism], tiles[tile], reach_m)]] = True
        return shown


@dataclass(frozen=True)
class Area:
    """Ground of one split.

    Attributes:
        bounds_m: (4,) West, south, east and north.
        own: (S,) bool Structures that stand there.
        cells_m: (C, 2) West and south of tiles with buildings, none of another split's; they do not overlap.
        left_out: Number of tiles with buildings that are not among the cells, since they may show another split's.
    """

    bounds_m: np.ndarray
    own: np.ndarray
    cells_m: np.ndarray
    left_out: int


def divide_ground(
    demands: Mapping[str, Demand], places: Places, tile_m: float, random: np.random.Generator
) -> dict[str, Area]:
    """Cuts the ground into a rectangle for each split.

    Of `NUM_CUTS` random ways to cut, each with straight cuts through and through, the one is taken in which the split
    and class with the fewest buildings for its share has the most in tiles that show the split's own buildings alone.

    Args:
        demands: What each split asks.
        places: The buildings.
        tile_m: Side of a tile.
        random: Source of chance.

    Returns:
        The area of each split.

    Raises:
        ValueError: The ground is too small, even for parts of one size.
    """
    bounds = places.city.bounds_m
    extent = np.concatenate([bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0) + 1e-6])
    mean = float(np.mean([demand.share for demand in demands.values()]))
    for evenness in EVENNESS:
        asked = {
            name: replace(demand, share=(1 - evenness) * demand.share + evenness * mean)
            for name, demand in demands.items()
        }
        if (best := _best_cut(asked, extent, places, tile_m, random)) is not None:
            return best
    west, south, east, north = extent
    tallest_m = float(places.city.drawn_heights_m.max())
    raise ValueError(
        f'The ground, {east - west:.0f} x {north - south:.0f} m, is too small for tiles of {tile_m:.0f} m in '
        f'{len(demands)} separate parts, each with a tile that shows its own buildings alone (the tallest is '
        f'{tallest_m:.0f} m high and leans up to {tallest_m * max(d.lean for d in demands.values()):.0f} m): take '
        'a larger city, smaller tiles or smaller off-nadir angles.'
    )


def _best_cut(
    demands: Mapping[str, Demand],
    extent: np.ndarray,
    places: Places,
    tile_m: float,
    random: np.random.Generator,
) -> dict[str, Area] | None:
    """The best of `NUM_CUTS`; None if some split has no tile in any."""
    shares = np.array([demand.share for demand in demands.values()])
    totals = np.maximum(places.count(extent[None])[0], 1)
    fair = np.maximum(shares[:, None] / shares.sum() * totals, 1e-9)

    def score(counts: np.ndarray) -> tuple[float, float]:
        coverage = np.minimum(counts / fair, 1)[:, totals > 1]
        return float(coverage.min(initial=1)), float(coverage.mean()) if coverage.size else 1.0

    built_m = np.unique(np.floor(places.points_m / tile_m), axis=0) * tile_m + tile_m / 2
    cuts = []
    for number in range(NUM_CUTS):
        names = [str(name) for name in random.permutation(list(demands))]
        rectangles = _cut(extent, built_m, names, demands, random)
        cut = np.array([rectangles[name] for name in demands])
        if (cut[:, 2:] - cut[:, :2] >= tile_m).all():
            cuts.append((score(places.count(cut)), -number, cut))
    best, best_score = None, (-1.0, -1.0)
    for *_, cut in sorted(cuts, key=lambda entry: entry[:2], reverse=True)[:NUM_TRIED]:
        areas = [_lay_out(own, places, tile_m, demand) for own, demand in zip(cut, demands.values(), strict=True)]
        if not all(len(area.cells_m) for area in areas):
            continue
        tiles = [np.hstack([area.cells_m, area.cells_m + tile_m]) for area in areas]
        own_score = score(np.array([places.count(own).sum(axis=0) for own in tiles]))
        if own_score > best_score:
            best, best_score = dict(zip(demands, areas, strict=True)), own_score
    return best


def _cut(
    bounds: np.ndarray,
    built_m: np.ndarray,
    names: list[str],
    demands: Mapping[str, Demand],
    random: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Divides a rectangle at random, so that each split's part has its share of the built ground.

    `built_m`, (B, 2), are the middles of the squares of ground with buildings: neither empty ground nor a building far
    off moves the cuts.
    """
    if len(names) == 1:
        return {names[0]: bounds}
    first, axis = int(random.integers(1, len(names))), int(random.integers(2))
    parts = names[:first], names[first:]
    shares = [sum(demands[name].share for name in part) for part in parts]
    share = shares[0] / sum(shares) * random.uniform(1 - SHARE_SPREAD, 1 + SHARE_SPREAD)
    along = built_m[:, axis]
    at = float(np.quantile(along, min(share, 1))) if len(along) else float(bounds[axis])
    lower, upper = bounds.copy(), bounds.copy()
    lower[axis + 2] = upper[axis] = at
    below = along < at
    return _cut(lower, built_m[below], parts[0], demands, random) | _cut(
        upper, built_m[~below], parts[1], demands, random
    )


def _lay_out(bounds_m: np.ndarray, places: Places, tile_m: float, demand: Demand) -> Area:
    """Lays a grid of tiles over a rectangle, at the offset at which most of them can be taken.

    Only squares in which a building stands are looked at: what is needed grows with the buildings, not with the extent.
    """
    own = places.inside(bounds_m)
    points_m, last_m = places.points_m[own], bounds_m[2:] - tile_m
    best = np.empty((0, 2))
    left_out = 0
    for phase in np.ndindex(PHASES, PHASES):
        origin = bounds_m[:2] + np.array(phase) * tile_m / PHASES
        cells = origin + tile_m * np.unique(np.floor((points_m - origin) / tile_m), axis=0)
        cells = cells[(cells >= bounds_m[:2]).all(axis=1) & (cells <= last_m).all(axis=1)]
        others = places.show_others(cells, tile_m, own, demand)
        if (~others).sum() > len(best):
            best, left_out = cells[~others], int(others.sum())
    return Area(bounds_m, own, best, left_out)


def place_tiles(
    area: Area, num_tiles: int, tile_m: float, places: Places, demand: Demand, random: np.random.Generator
) -> np.ndarray:
    """Chooses where the tiles of a split lie.

    As long as they fit they lie on a grid and do not overlap; of the cells with buildings a random choice is taken,
    out of `NUM_DRAWS` the one in which the rarest class is best represented. If more tiles are asked for than there
    are such cells, all of these are taken, and the others lie at random places up to half a tile from one, which they
    overlap.

    Args:
        area: The split's ground.
        num_tiles: How many to place.
        tile_m: Side of a tile.
        places: Where the buildings are.
        demand: What the split asks.
        random: Source of chance.

    Returns:
        (num_tiles, 2) West and north of each tile.
    """
    cells = area.cells_m
    counts = places.count(np.hstack([cells, cells + tile_m]))
    if num_tiles <= len(cells):
        draws = [random.permutation(len(cells))[:num_tiles] for _ in range(NUM_DRAWS)]
        present = counts.sum(axis=0) > 0
        shares = [counts[draw].sum(axis=0)[present] / counts.sum(axis=0)[present] for draw in draws]
        southwest = cells[np.sort(draws[int(np.argmax([share.min(initial=1) for share in shares]))])]
        return southwest + np.array([0, tile_m])
    around = cells[random.integers(len(cells), size=num_tiles - len(cells))]
    moved, pending, reach = around.copy(), np.arange(len(around)), tile_m / 2
    while len(pending) and reach > ROUNDING_M:  # nearer to the cell, which can be taken, until the place can be, too
        low = np.maximum(around[pending] - reach, area.bounds_m[:2])
        high = np.minimum(around[pending] + reach, area.bounds_m[2:] - tile_m)
        moved[pending] = random.uniform(low, high)
        pending = pending[places.show_others(moved[pending], tile_m, area.own, demand)]
        reach /= 2
    moved[pending] = around[pending]
    return np.concatenate([cells, moved]) + np.array([0, tile_m])
