"""What networks of a grow space take, by the sum of their parts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from projects.deployment.model_info import ModelInfo
from projects.reporting.progress import track

from ..space import IMAGE_SCALE, PRECISION, GrowSpace, Point, Space, Value
from .fit import fit_line
from .measure import DIGITS, LatencyMeter
from .parts import Part, Size, differences_of, maps_of, parts_of

PARTS_AT_ONCE = 6  # whose small networks take turns
NUM_FITTED, PER_CELL = 14, 3  # whole networks; at least so many for each image scale and stem stride
SLOPES = (0.5, 2.0)  # a part takes about as long in a whole network as in a small one, whatever a busy machine says
ATTEMPTS = 50  # to draw a network that was not drawn before

Cell = tuple[float, int]
"""Image scale and stem stride, on which the sizes of all maps depend."""


def draw_points(
    space: Space,
    number: int,
    fixed: Sequence[Mapping[str, Value]],
    generator: np.random.Generator,
    besides: Iterable[Point] = (),
) -> list[Point]:
    """Draw networks that differ in what is trained; fewer than asked for if the space has hardly more.

    Args:
        space: The space.
        number: Of networks.
        fixed: Choices that they have in turns.
        generator: Of random numbers.
        besides: Networks that are not drawn.
    """
    taken = {trained_choices(point) for point in besides}
    points: list[Point] = []
    for index in range(number):
        for _ in range(ATTEMPTS):
            point = {**space.random(generator), **fixed[index % len(fixed)]}
            if (choices := trained_choices(point)) not in taken:
                taken.add(choices)
                points.append(point)
                break
    return points


def trained_choices(point: Point) -> frozenset[tuple[str, Value]]:
    """What a network is before it is exported: all but the precision."""
    return frozenset((name, value) for name, value in point.items() if name != PRECISION)


class BlockTable:
    """Predicts the latency of every network of a grow space.

    What a network takes is taken to be

        slope * (its parts) + width_slope * (channels times cells of its maps) + constant of its map sizes

    The first term adds up entries of the table, each of which is measured on this machine when it is first needed, from
    the difference of two small networks, and is shared by all places with the same map. The second is what a neck or
    head takes to read the maps, the third is the rest of both and the post-processing. The coefficients are
    fitted to some whole networks, which the meter measures; none is below 0, and the slope is about 1 (`SLOPES`).
    Everything is kept in the meter's journal.

    Args:
        space: The space.
        meter: Measures whole networks of it; its conditions are those of the table.
        seed: Of the networks that are drawn for the fit.
    """

    def __init__(self, space: GrowSpace, meter: LatencyMeter, seed: int = 0) -> None:
        self.space, self.meter, self.seed = space, meter, seed
        self._coefficients: dict[str, np.ndarray] = {}
        self.cells: list[Cell] = [(scale, stride) for scale in space.image_scales for stride in space.stem_strides]
        self._divisor = ModelInfo.from_config(meter.config_of(space.extreme(largest=False))).size_divisor

    def predict(self, points: Sequence[Point]) -> np.ndarray:
        """Return ms of networks, (N,); infinite for those with a part that cannot be exported (see the journal)."""
        predicted = np.full(len(points), math.inf)
        for precision in dict.fromkeys(str(point[PRECISION]) for point in points):
            places = [index for index, point in enumerate(points) if point[PRECISION] == precision]
            chosen = [points[index] for index in places]
            if precision not in self._coefficients:
                self._coefficients[precision] = self._fit(precision)
            self.measure_parts(chosen)
            features = np.array([self._features(point) for point in chosen])
            known = np.isfinite(features).all(axis=1)
            values = np.where(known[:, None], features, 0) @ self._coefficients[precision]
            predicted[places] = np.where(known, values, math.inf)
        return predicted

    def measure_parts(self, points: Sequence[Point]) -> None:
        """Measure the entries that networks need and that the table does not have yet, a few at a time."""
        needed = {
            self._name(str(point[PRECISION]), part): (part, str(point[PRECISION]))
            for point in points
            for part in parts_of(point, self._image_size(point))
        }
        missing = [(name, *rest) for name, rest in sorted(needed.items()) if name not in self.meter.journal.entries]
        starts = range(0, len(missing), PARTS_AT_ONCE)
        for start in track(starts, 'parts of networks measured, in groups'):
            self._measure(missing[start : start + PARTS_AT_ONCE])

    def fitted_points(self, precision: str) -> list[Point]:
        """The whole networks that the line is fitted to: random ones, as many of each image scale and stem stride."""
        cells: list[dict[str, Value]] = [
            {IMAGE_SCALE: scale, 'stem_stride': stride, PRECISION: precision} for scale, stride in self.cells
        ]
        number = max(NUM_FITTED, PER_CELL * len(cells))
        return draw_points(self.space, number, cells, np.random.default_rng(self.seed))

    def _fit(self, precision: str) -> np.ndarray:
        points = self.fitted_points(precision)
        latencies = self.meter.measure(points)
        usable = [(point, latency.ms) for point, latency in zip(points, latencies, strict=True) if not latency.failure]
        if not usable:
            raise ValueError(f'none of {len(points)} networks runs in {precision}; the first: {latencies[0].failure}')
        self.measure_parts([point for point, _ in usable])
        features = [self._features(point) for point, _ in usable]
        known = [index for index, row in enumerate(features) if np.isfinite(row).all()]
        (low, high), others = SLOPES, 1 + len(self.cells)
        return fit_line(
            [features[index] for index in known],
            [usable[index][1] for index in known],
            least=[low, *[0.0] * others],
            most=[high, *[math.inf] * others],
        )

    def _features(self, point: Point) -> list[float]:
        """Of the line: sum of the parts, channels times cells of the maps, and 1 for the network's cell."""
        precision, size = str(point[PRECISION]), self._image_size(point)
        parts = sum(count * self._entry(precision, part) for part, count in parts_of(point, size).items())
        widths = sum(channels * height * width for channels, (height, width) in maps_of(point, size))
        cell = (point[IMAGE_SCALE], point['stem_stride'])
        return [parts, float(widths), *(float(cell == one) for one in self.cells)]

    def _entry(self, precision: str, part: Part) -> float:
        entry = self.meter.journal.entries[self._name(precision, part)]
        return math.inf if isinstance(entry, str) else float(entry)

    def _measure(self, entries: Sequence[tuple[str, Part, str]]) -> None:
        """Time the small networks of some parts in turns, and keep the differences."""
        networks = dict.fromkeys(
            (network, precision) for _, part, precision in entries for network in differences_of(part)
        )
        with TemporaryDirectory() as folder:
            writers = [
                partial(network.write, Path(folder, f'{index}.onnx'), precision)
                for index, (network, precision) in enumerate(networks)
            ]
            measured = self.meter.time_written(writers)
        self.meter.warn_of_disturbed(measured)
        latencies = dict(zip(networks, measured, strict=True))
        found: dict[str, float | str] = {}
        for name, part, precision in entries:
            total = 0.0
            for network, factor in differences_of(part).items():
                latency = latencies[network, precision]
                if latency.failure:
                    found[name] = latency.failure
                    break
                total += factor * latency.ms
            else:
                found[name] = round(max(total, 0.0), DIGITS)
        self.meter.journal.add(found)

    def _name(self, precision: str, part: Part) -> str:
        return f'{part} {precision}'

    def _image_size(self, point: Point) -> Size:
        """What the backbone is given: the image, padded as the graph does."""
        height, width = (side + -side % self._divisor for side in self.meter.conditions.size_of(point))
        return height, width
