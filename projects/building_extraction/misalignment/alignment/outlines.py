"""Points along the outlines of buildings, with the direction across the wall at each."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely

STEP_PX = 1.5
STRETCH_POINTS, GAP_POINTS = 12, 4  # of a stretch, and at its ends: as far as edges are blurred


@dataclass(frozen=True)
class Outlines:
    """Points every `STEP_PX` along all rings of some polygons.

    Attributes:
        points_px: (P, 2) Right and down.
        normals: (P, 2) Of length 1, out of the building.
        first: (N + 1,) Polygon n's points are first[n] up to first[n + 1].
        polygons: (N,) The polygons, in pixels.
    """

    points_px: np.ndarray
    normals: np.ndarray
    first: np.ndarray
    polygons: np.ndarray

    @classmethod
    def of(cls, polygons: np.ndarray, step_px: float = STEP_PX) -> Self:
        """Of polygons (N,) in pixels."""
        oriented = shapely.orient_polygons(polygons)  # outer rings counter-clockwise where y is up: inside on the left
        rings, owners = shapely.get_rings(oriented, return_index=True)
        corners, ring_of = shapely.get_coordinates(rings, return_index=True)
        sides = np.diff(corners, axis=0)
        lengths = np.where(np.diff(ring_of) == 0, np.linalg.norm(sides, axis=1), 0)
        ends = np.cumsum(lengths)
        ring_ends = np.append(0, ends)[np.append(np.flatnonzero(np.diff(ring_of)), len(lengths))]
        ring_starts = np.append(0, ring_ends[:-1])
        counts = np.maximum(np.rint((ring_ends - ring_starts) / step_px), 4).astype(int)
        point_ring = np.repeat(np.arange(len(rings)), counts)
        number = np.arange(len(point_ring)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = ring_starts[point_ring] + (number + 0.5) / counts[point_ring] * (ring_ends - ring_starts)[point_ring]
        side = np.minimum(np.searchsorted(ends, places), len(sides) - 1)
        along = (sides[side].T / np.maximum(lengths[side], 1e-9)).T
        points = corners[side] + along * (places - (ends - lengths)[side])[:, None]
        normals = np.stack([along[:, 1], -along[:, 0]], axis=1)
        return cls(points, normals, np.searchsorted(owners[point_ring], np.arange(len(polygons) + 1)), polygons)

    def of_number(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Points and normals of one polygon."""
        own = slice(self.first[number], self.first[number + 1])
        return self.points_px[own], self.normals[own]

    def halves(self) -> tuple[Self, Self]:
        """Every second stretch of `STRETCH_POINTS`, and the middles of those between, beyond the reach of its edges."""
        number = np.arange(len(self.points_px)) - np.repeat(self.first[:-1], np.diff(self.first))
        place = number % (2 * STRETCH_POINTS)
        held_out = (place >= STRETCH_POINTS + GAP_POINTS) & (place < 2 * STRETCH_POINTS - GAP_POINTS)
        return self._only(place < STRETCH_POINTS), self._only(held_out)

    def _only(self, kept: np.ndarray) -> Self:
        first = np.append(0, np.cumsum(kept))[self.first]
        return type(self)(self.points_px[kept], self.normals[kept], first, self.polygons)
