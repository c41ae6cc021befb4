"""The plan of an invented city: where its centres are, its streets, and the blocks of land between them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely

STREET_WIDTHS_M = ((900.0, 28.0), (400.0, 20.0), (180.0, 14.0), (0.0, 10.0))
"""A street that divides a piece of land at least this long is this wide, from fence to fence."""
AVENUE_M, MEDIAN_M, CROSSING_M = 28.0, 4.0, 12.0
"""Streets this wide have a strip of that width between their carriageways, with trees; it ends before crossings."""
CENTER_SPACING_M = 900.0
MIN_BLOCK_M2 = 400.0


@dataclass(frozen=True)
class Centers:
    """Places around which the city is dense.

    Attributes:
        places_m: (C, 2) Metres east and north.
        radii_m: (C,) Distance at which the density has fallen to 1/e of the centre's.
        strengths: (C,) Density in the middle, 0 to 1.
    """

    places_m: np.ndarray
    radii_m: np.ndarray
    strengths: np.ndarray

    def density(self, points_m: np.ndarray) -> np.ndarray:
        """How urban a place is, 0 (edge of the suburbs) to 1 (between the highest towers).

        Args:
            points_m: (N, 2) Metres east and north.

        Returns:
            (N,) The largest of the centres' Gaussian bells.
        """
        distances = np.linalg.norm(points_m[:, None] - self.places_m, axis=-1)
        return (self.strengths * np.exp(-((distances / self.radii_m) ** 2))).max(axis=1)


@dataclass(frozen=True)
class CityPlan:
    """Land before anything is built.

    Attributes:
        blocks: (B,) Convex polygons between the streets, metres east and north.
        densities: (B,) How urban each is, 0 to 1.
        streets: (S,) Polygons from fence to fence; they cross and may overlap.
    """

    blocks: np.ndarray
    densities: np.ndarray
    streets: np.ndarray


def plan_city(size_m: float, random: np.random.Generator) -> CityPlan:
    """Draws centres and streets.

    The land is halved again and again, each time across its longer side and not quite at a right angle; wide streets
    come first. So neighbouring districts have grids of different directions, as where a city has grown.

    Args:
        size_m: Side of the square, whose south-west corner is at (0, 0).
        random: Source of chance.

    Returns:
        The plan.
    """
    centers = _draw_centers(size_m, random)
    middle = np.array([size_m, size_m]) / 2
    land = rectangle(middle, unit_vector(random.uniform(0, np.pi / 2)), (0.75 * size_m, 0.75 * size_m))

    def target_m2(piece: shapely.Polygon) -> float:
        density = centers.density(shapely.get_coordinates(piece.centroid))[0]
        return (5500 if density > 0.5 else 8000) * random.lognormal(0, 0.25)

    def width_m(length_m: float) -> float:
        return next(width for least, width in STREET_WIDTHS_M if length_m >= least)

    blocks, streets = divide(land, target_m2, width_m, 4.0, random)
    square = shapely.box(0, 0, size_m, size_m)
    blocks = shapely.intersection(blocks, square)
    streets = shapely.get_parts(shapely.intersection([_with_median(street) for street in streets], square))
    blocks = blocks[shapely.area(blocks) > MIN_BLOCK_M2]
    streets = streets[shapely.area(streets) > 1]
    return CityPlan(blocks, centers.density(shapely.get_coordinates(shapely.centroid(blocks))), streets)


def _draw_centers(size_m: float, random: np.random.Generator) -> Centers:
    """About one centre for each square of `CENTER_SPACING_M`; the first one is in the middle and the largest."""
    steps = max(round(size_m / CENTER_SPACING_M), 1)
    along = (np.arange(steps) + 0.5) / steps * size_m
    places = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    places += random.normal(0, 0.12 * size_m / steps, places.shape)
    places = places[np.argsort(np.linalg.norm(places - size_m / 2, axis=1))]
    radii = random.uniform(0.26, 0.36, len(places)) * size_m / steps
    strengths = random.uniform(0.75, 1.0, len(places))
    strengths[0] = 1.0
    radii[0] = 0.4 * size_m / steps
    return Centers(places, radii, strengths)


def divide(
    land: shapely.Polygon,
    target_m2: Callable[[shapely.Polygon], float],
    width_m: Callable[[float], float],
    tilt_deg: float,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Halves land until each piece is small enough.

    Args:
        land: A convex polygon.
        target_m2: For a piece, the area under which it is not divided.
        width_m: For the length of a piece, the width of the strip along which it is divided; 0 leaves no strip.
        tilt_deg: Standard deviation of the cuts from a right angle to the longer side.
        random: Source of chance.

    Returns:
        (P,) The pieces, convex; (S,) the strips between them.
    """
    pieces, strips, pending = [], [], [land]
    while pending:
        piece = pending.pop()
        if piece.area < target_m2(piece):
            pieces.append(piece)
            continue
        corner, along, across = box_around(piece)
        length = float(np.hypot(*along))
        reach = 2 * (length + float(np.hypot(*across)))
        direction = rotate(along / length, np.radians(random.normal(0, tilt_deg)))
        cut = corner + random.uniform(0.4, 0.6) * along + across / 2
        half = width_m(length) / 2
        for side in (-1, 1):
            kept = shapely.intersection(
                piece, rectangle(cut + side * (half + reach) * direction, direction, (reach, reach))
            )
            if kept.area > 0:
                pending.append(kept)
        if half > 0:
            strips.append(shapely.intersection(piece, rectangle(cut, direction, (half, reach))))
    return np.array(pieces, dtype=object), np.array(strips, dtype=object)


def _with_median(street: shapely.Polygon) -> shapely.Polygon:
    """A wide street without the strip between its carriageways, any other as it is."""
    corner, along, across = box_around(street)
    length = float(np.hypot(*along))
    if np.hypot(*across) < AVENUE_M - 1e-6 or length < 4 * CROSSING_M:
        return street
    half_sides = length / 2 - CROSSING_M, MEDIAN_M / 2
    return street.difference(rectangle(corner + (along + across) / 2, along / length, half_sides))


def box_around(polygon: shapely.Polygon) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The smallest rectangle around a polygon: a corner, and from it the longer and the shorter side, (2,) each."""
    corners = shapely.get_coordinates(shapely.oriented_envelope(polygon))[:4]
    sides = corners[1] - corners[0], corners[3] - corners[0]
    longer = int(np.hypot(*sides[1]) > np.hypot(*sides[0]))
    return corners[0], sides[longer], sides[1 - longer]


def rectangle(center: np.ndarray, direction: np.ndarray, half_sides_m: tuple[float, float]) -> shapely.Polygon:
    """A rectangle with its first side along `direction`, a unit vector."""
    along, across = half_sides_m[0] * direction, half_sides_m[1] * np.array([-direction[1], direction[0]])
    return shapely.Polygon(
        [center - along - across, center + along - across, center + along + across, center - along + across]
    )


def rotate(vector: np.ndarray, angle: float) -> np.ndarray:
    """A vector (2,) turned counter-clockwise by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1]])


def unit_vector(angle: float) -> np.ndarray:
    """The unit vector at an angle in radians, counter-clockwise from east."""
    return np.array([np.cos(angle), np.sin(angle)])
