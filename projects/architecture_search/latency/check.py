"""How well latencies are predicted, on networks that no prediction was fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import kendalltau

from projects.reporting.tables import Table

from ..space import PRECISION, Point
from .fit import fit_line
from .graphs import multiply_adds
from .table import BlockTable, draw_points

NUM_HELD_OUT, MIN_COMPARED = 30, 3
MAX_MEAN_ERROR, MIN_TAU = 0.08, 0.85  # that a search may rely on
TABLE, MACS, AGAIN = 'table of parts', 'line on multiply-adds', 'measured again'


@dataclass(frozen=True)
class Errors:
    """Of predicted latencies against measured ones.

    Attributes:
        mean: Mean of the absolute relative errors.
        largest: The largest.
        tau: Kendall's rank correlation, tau-b: the share of pairs in the right order less that in the wrong one.
    """

    mean: float
    largest: float
    tau: float

    @classmethod
    def of(cls, predicted: Sequence[float], measured: Sequence[float]) -> 'Errors':
        """Compare them, network by network."""
        relative = np.abs(np.asarray(predicted) / np.asarray(measured) - 1)
        return cls(float(relative.mean()), float(relative.max()), float(kendalltau(predicted, measured).statistic))


@dataclass(frozen=True)
class PredictionCheck:
    """Errors of several predictions of the same networks.

    Attributes:
        precision: Of the files.
        measured_ms: Of each network, the median.
        errors: By what predicted: `TABLE`, `MACS`, `AGAIN`.
    """

    precision: str
    measured_ms: tuple[float, ...]
    errors: dict[str, Errors]

    @property
    def passed(self) -> bool:
        """Whether a search may rely on the table."""
        errors = self.errors[TABLE]
        return errors.mean <= MAX_MEAN_ERROR and errors.tau >= MIN_TAU

    def table(self) -> Table:
        """A line for each prediction."""
        lines = [
            [name, f'{errors.mean:.1%}', f'{errors.largest:.1%}', f'{errors.tau:.2f}']
            for name, errors in self.errors.items()
        ]
        columns = ['prediction', 'mean error', 'largest error', 'Kendall tau']
        caption = f'Latencies of {len(self.measured_ms)} networks in {self.precision} that nothing was fitted to'
        return Table(caption, columns, lines, numeric=columns[1:])


def check_predictions(table: BlockTable, precision: str, number: int = NUM_HELD_OUT, seed: int = 1) -> PredictionCheck:
    """Predict and measure random networks that the table was not fitted to.

    Beside the table's errors stand those of a line on multiply-adds, fitted to the same whole networks, and those of
    measuring the same networks once more, which no prediction can be expected to beat.

    Args:
        table: Whose predictions are checked; its meter measures.
        precision: Of the networks, one of the space.
        number: Of networks.
        seed: Of the networks that are drawn.

    Raises:
        ValueError: The space has too few networks, or hardly any can be exported.
    """
    meter = table.meter
    fitted = table.fitted_points(precision)
    generator = np.random.default_rng([table.seed, seed])
    points = draw_points(table.space, number, [{PRECISION: precision}], generator, besides=fitted)
    predicted = table.predict(points)
    with TemporaryDirectory() as folder:
        measured = np.array([latency.ms for latency in meter.measure(points, Path(folder))])
        again = np.array([latency.ms for latency in meter.measure_again(points, Path(folder))])
    by_macs = _line_on_macs(table, fitted, points)
    known = np.isfinite(predicted) & np.isfinite(measured) & np.isfinite(again)
    if known.sum() < MIN_COMPARED:
        raise ValueError(
            f'{known.sum()} of {number} networks that the table was not fitted to could be drawn and exported in '
            f'{precision}, and {MIN_COMPARED} at least are compared: widen the space, or see {meter.journal.path}'
        )
    predictions = {TABLE: predicted, MACS: by_macs, AGAIN: again}
    errors = {name: Errors.of(values[known], measured[known]) for name, values in predictions.items()}
    return PredictionCheck(precision, tuple(map(float, measured[known])), errors)


def _line_on_macs(table: BlockTable, fitted: Sequence[Point], points: Sequence[Point]) -> np.ndarray:
    """Latencies of networks in ms by their multiply-adds alone."""
    meter = table.meter
    macs, targets = (
        [multiply_adds(meter.config_of(point), meter.conditions.size_of(point)) for point in group]
        for group in (fitted, points)
    )
    values = [latency.ms for latency in meter.measure(fitted)]
    usable = [index for index, value in enumerate(values) if np.isfinite(value)]
    line = fit_line([[macs[index], 1.0] for index in usable], [values[index] for index in usable])
    return np.array([[count, 1.0] for count in targets]) @ line
