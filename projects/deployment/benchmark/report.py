"""A benchmark's results as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from projects.reporting.markdown import bullets, document
from projects.reporting.number_format import NOTHING, counted, fixed, three_digits, with_range
from projects.reporting.tables import Table

from .layers import layer_tables
from .results import Results
from .timing import Case, Measurement, Quartiles, ratios

TEXT_COLUMNS = ('model', 'runtime')
COLUMNS = (
    *('model', 'params, M', 'MACs, G', 'runtime', 'threads'),
    *('latency, ms', 'images/s', 'GFLOP/s', 'MB', 'speed, ×'),
)


@dataclass(frozen=True)
class Row:
    """A case on some threads.

    Attributes:
        case: Model, runtime and precision.
        threads: Of the processor.
        latency_ms: Of one image; None: only larger batches were measured.
        best: The measurement at the batch size of the highest throughput.
        speed: Images per second over those of the first row with as many threads, at the smallest batch size, round by
            round.
        params: Parameters of the model.
        macs: Multiply-adds of an image.
        ceiling_gflops: Rate of matrix products on these threads in this precision.
        memory_mb: What the opened model and its calls took, at most.
    """

    case: Case
    threads: int
    latency_ms: Quartiles | None
    best: Measurement
    speed: Quartiles
    params: int | None
    macs: int | None
    ceiling_gflops: float | None
    memory_mb: float | None

    @property
    def gflops(self) -> float | None:
        """Operations per nanosecond at the best throughput, two for each multiply-add."""
        return None if self.macs is None else 2 * self.macs * self.best.throughput / 1e9

    def cells(self) -> list[str]:
        """Return what stands in the row."""
        gflops = fixed(self.gflops, 0)
        if self.gflops is not None and self.ceiling_gflops is not None:
            gflops += f' ({self.gflops / self.ceiling_gflops:.0%})'
        return [
            self.case.subject,
            three_digits(None if self.params is None else self.params / 1e6),
            three_digits(None if self.macs is None else self.macs / 1e9),
            f'{self.case.runtime} {self.case.precision}',
            str(self.threads),
            NOTHING if self.latency_ms is None else with_range(*self.latency_ms),
            f'{three_digits(self.best.throughput)} (b{self.best.batch_size})',
            gflops,
            fixed(self.memory_mb, 0),
            with_range(*self.speed),
        ]


def rows_of(results: Results) -> list[Row]:
    """Return a row for each case and number of threads, in the order of measurement."""
    by_case: dict[tuple[Case, int], list[Measurement]] = {}
    for one in results.measurements():
        by_case.setdefault((one.case, one.threads), []).append(one)
    data = results.data
    rows: list[Row] = []
    for (case, threads), measured in by_case.items():
        smallest = min(measured, key=lambda one: one.batch_size)
        base = next(
            one for one in results.measurements() if one.threads == threads and one.batch_size == smallest.batch_size
        )
        about = data['subjects'][case.subject]
        rows.append(
            Row(
                case=case,
                threads=threads,
                latency_ms=smallest.latency_ms if smallest.batch_size == 1 else None,
                best=max(measured, key=lambda one: one.throughput),
                speed=ratios(base, smallest),
                params=about['params'],
                macs=about['macs'],
                ceiling_gflops=data['ceilings'].get(str(threads), {}).get(case.precision),
                memory_mb=data['memory_mb'].get(str(case)),
            )
        )
    return rows


def table_of(rows: Sequence[Row]) -> Table:
    """Return the table."""
    return Table('', COLUMNS, [row.cells() for row in rows], numeric=[n for n in COLUMNS if n not in TEXT_COLUMNS])


def markdown(results: Results, layers: int = 0) -> str:
    """Return the table as Markdown, with what one must know to read it, and what was left out.

    Args:
        results: Of a benchmark.
        layers: How many of the slowest layers of each case, where they were timed.
    """
    tables = layer_tables(results.data, layers) if layers else []
    return document([caption(results.data), table_of(rows_of(results)), left_out(results.data), *tables])


def left_out(data: dict[str, Any]) -> str:
    """List what could not be measured, and why."""
    return bullets((f'{case}: {reason}' for case, reason in data['left_out'].items()), 'Left out:')


def caption(data: dict[str, Any]) -> str:
    """Say where and how the results were measured, and what the columns mean."""
    machine = data['machine']
    device = machine['gpu'] if data['question'].get('device') == 'cuda' else machine['processor']
    ceilings = '; '.join(
        f'{counted(int(threads), "thread")}: '
        + ', '.join(f'{precision} {rate:.0f}' for precision, rate in rates.items())
        for threads, rates in data['ceilings'].items()
    )
    versions = ', '.join(f'{name} {version}' for name, version in machine['versions'].items())
    return (
        f'Measured on {device} ({machine["cores"]} cores; {" ".join(machine["instructions"])}), {data["begun"][:10]}, '
        f'images of {"x".join(map(str, data["question"]["size"]))}. Models take turns; median and, in brackets, '
        'quartiles over the rounds. eager: as built, batch norms not folded; traced: folded and traced, the '
        'protocol of the authors; compile, onnxruntime, openvino: folded. Latency: one image. Images/s: at the best '
        'batch size (b). GFLOP/s: two operations per multiply-add, and the share of what matrix products reach '
        f'({ceilings}). MB: the most that the opened model and its calls add to the memory of a process. Speed: '
        f'against the first row with as many threads, round by round. {versions}.'
    )
