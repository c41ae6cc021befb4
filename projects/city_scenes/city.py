"""A city ready to be rendered: its prisms as arrays of walls, and an index of where they stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import shapely

from .buildings import Buildings

UNKNOWN_HEIGHT_M = 6.0
"""Two floors: what a building of unknown height is drawn with; its record keeps the height as unknown."""


def _no_polygons() -> np.ndarray:
    return np.empty(0, dtype=object)


@dataclass(frozen=True)
class Walls:
    """Every edge of every polygon, the building's inside on the left of it.

    Attributes:
        starts_m, ends_m: (E, 2) The edge's two ends on the ground, metres east and north.
        first: (N + 1,) Polygon n's edges are first[n] up to first[n + 1].
    """

    starts_m: np.ndarray
    ends_m: np.ndarray
    first: np.ndarray

    def of(self, prisms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Edges of these prisms, one prism after another.

        Args:
            prisms: (P,) Indices of prisms.

        Returns:
            (W,) Indices of the edges; (W,) for each its prism, as a position in `prisms`.
        """
        counts = self.first[prisms + 1] - self.first[prisms]
        owners = np.repeat(np.arange(len(prisms)), counts)
        before = np.cumsum(counts) - counts
        return np.arange(len(owners)) - (before - self.first[prisms])[owners], owners


@dataclass(frozen=True)
class City:
    """What stands in an area and what lies between.

    Roads and vegetation may be empty; then the renderer invents streets, trees and grass in the free space.

    Attributes:
        buildings: The prisms.
        roads: (R,) shapely Polygons of carriageways, metres east and north.
        vegetation: (V,) shapely Polygons of parks and gardens.
        car_parks: (C,) shapely Polygons of car parks off the roads.
        files: Where what was read from, such as `footprints`; empty: the city is invented.

    Raises:
        ValueError: An entry of buildings is no Polygon, a height is negative, or the arrays' lengths differ.
    """

    buildings: Buildings
    roads: np.ndarray = field(default_factory=_no_polygons)
    vegetation: np.ndarray = field(default_factory=_no_polygons)
    car_parks: np.ndarray = field(default_factory=_no_polygons)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        polygons, heights = self.buildings.polygons, self.buildings.heights_m
        if not len(polygons) == len(heights) == len(self.buildings.structures):
            raise ValueError(
                f'{len(polygons)} polygons, {len(heights)} heights_m and {len(self.buildings.structures)} structures: '
                'expected one height and one structure for each polygon.'
            )
        kinds = shapely.get_type_id(polygons)
        if (kinds != shapely.GeometryType.POLYGON).any():
            wrong = int(np.flatnonzero(kinds != shapely.GeometryType.POLYGON)[0])
            raise ValueError(
                f'Building {wrong} is {polygons[wrong]!r:.60}: expected a Polygon; explode multi-polygons.'
            )
        if (heights < 0).any():
            wrong = int(np.flatnonzero(heights < 0)[0])
            raise ValueError(f'Building {wrong} is {heights[wrong]} m high: expected 0 or more, or NaN for unknown.')

    @cached_property
    def drawn_heights_m(self) -> np.ndarray:
        """(N,) Heights of the prisms, unknown ones replaced by `UNKNOWN_HEIGHT_M`."""
        return np.where(np.isnan(self.buildings.heights_m), UNKNOWN_HEIGHT_M, self.buildings.heights_m).astype(float)

    @cached_property
    def index(self) -> shapely.STRtree:
        """Where the prisms stand."""
        return shapely.STRtree(self.buildings.polygons)

    @cached_property
    def road_index(self) -> shapely.STRtree:
        """Where the roads lie."""
        return shapely.STRtree(self.roads)

    @cached_property
    def vegetation_index(self) -> shapely.STRtree:
        """Where the vegetation lies."""
        return shapely.STRtree(self.vegetation)

    @cached_property
    def car_park_index(self) -> shapely.STRtree:
        """Where the car parks lie."""
        return shapely.STRtree(self.car_parks)

    @cached_property
    def bounds_m(self) -> np.ndarray:
        """(N, 4) West, south, east and north of each prism on the ground."""
        return shapely.bounds(self.buildings.polygons)

    @cached_property
    def walls(self) -> Walls:
        """Edges of the prisms."""
        return walls_of(self.buildings.polygons)

    @cached_property
    def wall_prisms(self) -> np.ndarray:
        """(E,) Prism of each wall."""
        return np.repeat(np.arange(len(self.buildings.polygons)), np.diff(self.walls.first)).astype(np.int32)

    @cached_property
    def surface_structures(self) -> np.ndarray:
        """(E + N,) Structure of each wall, then of each roof."""
        return np.concatenate([self.buildings.structures[self.wall_prisms], self.buildings.structures])

    @cached_property
    def wall_bases_m(self) -> np.ndarray:
        """(E,) Height up to which each wall is inside another prism, or on its border, and cannot be seen.

        Only walls that another prism holds as a whole count; 0 for all others.
        """
        walls, heights = self.walls, self.drawn_heights_m
        owners = self.wall_prisms
        lines = shapely.linestrings(np.stack([walls.starts_m, walls.ends_m], axis=1))
        inside, holders = self.index.query(lines, predicate='covered_by')
        other = (owners[inside] != holders) & (heights[owners[inside]] > heights[holders])
        bases = np.zeros(len(lines))
        np.maximum.at(bases, inside[other], heights[holders[other]])
        return bases

    @cached_property
    def boxes(self) -> np.ndarray:
        """(N, 6) Each roof's smallest rectangle: centre (2), the long axis' direction (2), half length, half width."""
        corners = shapely.get_coordinates(shapely.oriented_envelope(self.buildings.polygons)).reshape(-1, 5, 2)
        sides = corners[:, 1:3] - corners[:, 0:2]
        lengths = np.linalg.norm(sides, axis=-1)
        longest = lengths.argmax(axis=1)
        every = np.arange(len(corners))
        axis = sides[every, longest] / np.maximum(lengths[every, longest], 1e-9)[:, None]
        return np.column_stack([corners[:, :4].mean(axis=1), axis, lengths.max(axis=1) / 2, lengths.min(axis=1) / 2])

    @cached_property
    def structure_prisms(self) -> list[np.ndarray]:
        """(S,) Prisms of each structure, ascending."""
        order = np.argsort(self.buildings.structures, kind='stable')
        return np.split(order, np.cumsum(self.tiers)[:-1])

    @cached_property
    def structure_outlines(self) -> np.ndarray:
        """(S,) Ground covered by each structure, all its tiers together."""
        polygons = self.buildings.polygons
        outlines = np.empty(self.tiers.size, dtype=object)
        for number, prisms in enumerate(self.structure_prisms):
            outlines[number] = polygons[prisms[0]] if len(prisms) == 1 else shapely.union_all(polygons[prisms])
        return outlines

    @cached_property
    def structure_heights_m(self) -> np.ndarray:
        """(S,) Top of each structure above ground; NaN where no tier's height is known."""
        highest = np.full(self.tiers.size, -np.inf)
        heights = self.buildings.heights_m
        np.maximum.at(highest, self.buildings.structures, np.where(np.isnan(heights), -np.inf, heights))
        return np.where(np.isinf(highest), np.nan, highest)

    @cached_property
    def tiers(self) -> np.ndarray:
        """(S,) Number of prisms of each structure."""
        return np.bincount(self.buildings.structures)

    @cached_property
    def tiers_apart(self) -> 'City':
        """The same city, each prism a structure of its own."""
        return replace(self, buildings=replace(self.buildings, structures=np.arange(len(self.buildings.polygons))))


def walls_of(polygons: np.ndarray) -> Walls:
    """Takes polygons apart into edges that keep the inside on their left, whichever way their rings run.

    Args:
        polygons: (N,) shapely Polygons.

    Returns:
        Their edges.
    """
    rings, owners = shapely.get_rings(polygons, return_index=True)
    points, ring_of = shapely.get_coordinates(rings, return_index=True)
    same_ring = ring_of[1:] == ring_of[:-1]
    starts, ends, ring_of = points[:-1][same_ring], points[1:][same_ring], ring_of[:-1][same_ring]
    corner = shapely.get_coordinates(shapely.get_point(rings, 0))[ring_of]
    (ax, ay), (bx, by) = (starts - corner).T, (ends - corner).T
    turning = np.bincount(ring_of, weights=ax * by - bx * ay, minlength=len(rings))
    outer = np.diff(owners, prepend=-1) > 0
    turned = ((turning > 0) != outer)[ring_of][:, None]
    edge_owners = owners[ring_of]
    return Walls(
        np.where(turned, ends, starts),
        np.where(turned, starts, ends),
        np.searchsorted(edge_owners, np.arange(len(polygons) + 1)),
    )
