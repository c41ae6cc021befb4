"""Right angles for building outlines: straight lines fitted to what was outlined, most of them along two directions.

Points are complex numbers, x + iy: of vectors a and b, a.conjugate() · b has their dot product as real part, and their
cross product as imaginary part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

MIN_IOU = 0.8  # a regular outline that agrees less with the one before is not used
RIGHT = np.pi / 2
KERNEL, NEAR = np.radians(4), np.radians(10)  # directions that are alike, and those that the main one is the mean of
SHORT = 6.0  # edges of fewer tolerances get one of the two directions
CLEAR_TURN = 0.17  # sine of 10 degrees: lines that turn less do not tell where their corner is


def regularise(outlines: np.ndarray, tolerance: float, step: float) -> np.ndarray:
    """Fit outlines of straight edges, parallel and perpendicular to the main direction of each building.

    Each ring is cut where it leaves a line by more than the tolerance (Douglas & Peucker, 1973,
    doi:10.3138/FM57-6770-U75U-7727). Each piece gets a line by total least squares over all that was outlined, so that
    the staircase of pixels averages out; and the direction of the building, or across it, if that moves neither end by
    more than half the tolerance, or it is short. Lines of one direction that lie within the tolerance of one another
    become one; where they do not, an edge across joins them; edges that are shorter than the tolerance go. Corners are
    where lines meet. Other edges stay oblique.

    Args:
        outlines: (N,) valid Polygons, true in angles and lengths; best along the edges of pixels.
        tolerance: Details smaller than that are not kept.
        step: The pixel, or how far apart points on an outline are looked at.

    Returns:
        (N,) Polygons; None where the result is not valid, or agrees with the outline to an intersection over union
        below `MIN_IOU`.

    Raises:
        ValueError: A length is none.
    """
    for name, length in (('tolerance', tolerance), ('step', step)):
        if not 0 < length < np.inf:
            raise ValueError(f'{name} = {length}: expected a length, more than 0')
    outlines = shapely.normalize(outlines)  # wherever their rings started
    regular = np.array([*(_regular(outline, tolerance, step) for outline in outlines), None], dtype=object)[:-1]
    regular[~shapely.is_valid(regular)] = None
    shared = shapely.area(shapely.intersection(outlines, regular))
    iou = shared / (shapely.area(outlines) + shapely.area(regular) - shared)
    regular[~(iou >= MIN_IOU)] = None  # NaN of those that are none
    return regular


@dataclass
class _Edge:
    """A line along a part of a ring.

    Attributes:
        center: A point of the line.
        direction: Of length 1, the way that the ring goes.
        start, end: Where the part of the ring begins and ends.
        weight: How much of the ring it was fitted to.
        axis: 0 along the main direction, 1 across, None for oblique ones.
    """

    center: complex
    direction: complex
    start: complex
    end: complex
    weight: float
    axis: int | None

    @property
    def length(self) -> float:
        """How far the part reaches along the line."""
        return _dot(self.direction, self.end - self.start)

    def distance(self, point: complex) -> float:
        """How far to the left of the line a point is."""
        return _cross(self.direction, point - self.center)

    def joined(self, other: '_Edge') -> '_Edge':
        """One line for this part of the ring and the next one, of the same axis."""
        weight = self.weight + other.weight
        center = (self.center * self.weight + other.center * other.weight) / weight
        direction = self.direction if abs(self.length) >= abs(other.length) else other.direction
        return _Edge(center, direction, self.start, other.end, weight, self.axis)

    def corner(self, other: '_Edge') -> complex:
        """Where this line meets the next one; where that is not clear, between both and the ring."""
        turn = _cross(self.direction, other.direction)
        if abs(turn) > CLEAR_TURN:
            return self.center + _cross(other.center - self.center, other.direction) / turn * self.direction
        between = (self.end + other.start) / 2
        return between - 0.5j * sum(line.distance(between) * line.direction for line in (self, other))


def _dot(first: complex, second: complex) -> float:
    return (first.conjugate() * second).real


def _cross(first: complex, second: complex) -> float:
    return (first.conjugate() * second).imag


def _regular(outline: shapely.Polygon, tolerance: float, step: float) -> shapely.Polygon | None:
    origin = shapely.get_coordinates(outline)[0]
    pieces = [_pieces(ring, origin, tolerance, step) for ring in (outline.exterior, *outline.interiors)]
    main = _main_direction(pieces[0])
    exterior, *holes = [_ring([_edge(piece, main, tolerance) for piece in ring], tolerance) for ring in pieces]
    if exterior is None:
        return None
    return shapely.Polygon(exterior + origin, [hole + origin for hole in holes if hole is not None])


def _pieces(ring: shapely.LinearRing, origin: np.ndarray, tolerance: float, step: float) -> Sequence[_Edge]:
    """Lines fitted to the parts of a ring between its corners, in their order, all of them oblique."""
    x, y = (shapely.get_coordinates(ring)[:-1] - origin).T
    corners = x + 1j * y
    corners = np.roll(corners, -np.argmax(np.abs(corners - corners.mean())))
    sides = np.roll(corners, -1) - corners
    number = np.maximum(np.ceil(np.abs(sides) / step - 1e-6), 1).astype(int)
    side = np.repeat(np.arange(len(corners)), number)
    along = (np.arange(len(side)) - np.repeat(np.cumsum(number) - number, number) + 0.5) / number[side]
    samples = corners[side] + along * sides[side]  # in the middle of the edges of pixels
    samples = np.append(samples, samples[0])
    line = shapely.LineString(np.stack([samples.real, samples.imag], axis=1))
    kept = shapely.get_coordinates(shapely.simplify(line, tolerance, preserve_topology=False))
    cuts = _places(samples, kept[:, 0] + 1j * kept[:, 1])
    starts, ends = cuts[:-1], cuts[1:]
    inside = (ends - starts > 4).astype(int)  # corners are worn off
    first, last = starts + inside, ends + 1 - inside
    count = last - first
    sums, squares = (np.append(0, np.cumsum(values)) for values in (samples, samples**2))
    centers = (sums[last] - sums[first]) / count
    moments = squares[last] - squares[first] - count * centers**2
    chords = samples[ends] - samples[starts]
    directions = np.exp(0.5j * np.angle(np.where(np.abs(moments) > 0, moments, chords**2)))
    directions *= np.where((directions.conj() * chords).real < 0, -1, 1)
    columns = (centers, directions, samples[starts], samples[ends], count)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [_Edge(center, direction, start, end, weight, None) for center, direction, start, end, weight in rows]


def _places(samples: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Where the samples that simplification has kept stand, in their order."""
    places, place = [0], 0
    values = samples.tolist()
    for point in kept[1:-1].tolist():
        place = values.index(point, place + 1)
        places.append(place)
    return np.array([*places, len(samples) - 1])


def _main_direction(edges: Sequence[_Edge]) -> float:
    """The angle that most of the outline follows, or stands across, in radians."""
    angles = np.angle([edge.direction for edge in edges])
    lengths = np.abs([edge.end - edge.start for edge in edges])
    grid = np.arange(0, RIGHT, KERNEL / 4)
    alike = np.exp(-((_turn(angles[:, None] - grid) / KERNEL) ** 2))
    main = grid[np.argmax(lengths @ alike)]
    turns = _turn(angles - main)
    weights = lengths**3 * (np.abs(turns) < NEAR)  # the error of a direction is as 1 / length^1.5
    return float(main + (weights @ turns) / max(weights.sum(), 1e-9))


def _turn(angles: np.ndarray) -> np.ndarray:
    """Angles as turns from the nearest multiple of a right angle."""
    return (angles + RIGHT / 2) % RIGHT - RIGHT / 2


def _edge(edge: _Edge, main: float, tolerance: float) -> _Edge:
    """The edge along the main direction or across it, if that is not far from where it is."""
    turn = np.angle(edge.direction) - main
    quarters = round(turn / RIGHT)
    moved = abs(edge.length / 2 * np.sin(turn - quarters * RIGHT))
    if moved > tolerance / 2 and edge.length > SHORT * tolerance:
        return edge
    direction = complex(np.exp(1j * (main + quarters * RIGHT)))
    return _Edge(edge.center, direction, edge.start, edge.end, edge.weight, quarters % 2)


def _ring(edges: list[_Edge], tolerance: float) -> np.ndarray | None:
    """(M, 2) corners of a ring of these lines; None if too few are left, or no end is reached."""
    for _ in range(10 * len(edges)):
        number = len(edges)
        if number < 3:
            return None
        gaps = [
            (abs(edge.distance(following.center)), place)
            for place, (edge, following) in enumerate(zip(edges, [*edges[1:], edges[0]], strict=True))
            if edge.axis is not None and edge.axis == following.axis
        ]
        if gaps:
            gap, place = min(gaps)
            edge, following = edges[place], edges[(place + 1) % number]
            if gap <= tolerance:
                edges[place] = edge.joined(following)
                del edges[(place + 1) % number]
            else:
                between = (edge.end + following.start) / 2
                across = edge.direction * (1j if edge.distance(following.center) > 0 else -1j)
                edges.insert(place + 1, _Edge(between, across, between, between, 1.0, 1 - (edge.axis or 0)))
            continue
        corners = [edges[place - 1].corner(edge) for place, edge in enumerate(edges)]
        lengths = [
            _dot(edge.direction, end - start)
            for edge, start, end in zip(edges, corners, [*corners[1:], corners[0]], strict=True)
        ]
        shortest = lengths.index(min(lengths))
        if number > 4 and lengths[shortest] < tolerance:  # or negative: of lines that meet too early
            del edges[shortest]
            continue
        return np.array([[corner.real, corner.imag] for corner in corners])
    return None
