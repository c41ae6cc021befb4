"""The layers of a model in OpenVINO: what each takes, and what share of the processor's ceiling it reaches."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from projects.reporting.number_format import counted, fixed, three_digits
from projects.reporting.tables import Table

from .results import Results
from .sessions import file_of
from .subjects import Subject
from .timing import Case

CALLS = 10
COLUMNS = ('layer', 'kind', 'kernel', 'precision', 'ms', 'share', 'GFLOP/s', 'of the ceiling')


def measure_layers(subject: Subject, case: Case, batch_size: int, threads: int, folder: Path, results: Results) -> None:
    """Time the layers of a case of OpenVINO, and measure the ceilings of the precisions that they run in.

    Args:
        subject: The model.
        case: Of 'openvino'.
        batch_size: Images per call.
        threads: Of the processor.
        folder: Where networks are exported to.
        results: Where to; ceilings that it has are not measured anew.

    Raises:
        ValueError: The processor has no such precision.
    """
    from ..runtimes.openvino_layers import measure_layer_ceiling, time_layers
    from ..runtimes.openvino_session import read_model

    path, precision = file_of(subject, batch_size, folder), None if case.precision == 'file' else case.precision
    layers = time_layers(read_model(path), [subject.images(batch_size)], precision, threads, CALLS)
    ceilings = results.data['layer_ceilings'].setdefault(str(threads), {})
    for name in {one.precision: None for one in layers if one.macs}:
        if name not in ceilings:
            ceilings[name] = measure_layer_ceiling(name, threads)
    described = [asdict(one) | {'gflops': one.gflops} for one in layers]
    results.data['layers'][str(case)] = {'batch_size': batch_size, 'threads': threads, 'layers': described}
    results.save()


def layer_tables(data: Mapping[str, Any], most: int) -> list[Table]:
    """Return a table for each case: its slowest layers, then all others in one row, then all.

    Args:
        data: Of `Results`.
        most: Layers in a table.
    """
    return [_table(case, measured, data['layer_ceilings'], most) for case, measured in data['layers'].items()]


def _table(case: str, measured: Mapping[str, Any], ceilings: Mapping[str, Any], most: int) -> Table:
    layers, threads = measured['layers'], measured['threads']
    rates = ceilings[str(threads)]
    total_ms = sum(one['ms'] for one in layers)
    slowest = sorted(layers, key=lambda one: -one['ms'])
    rows = [
        [one['name'], one['kind'], one['kernel'], one['precision'], *_figures([one], total_ms, rates)]
        for one in slowest[:most]
    ]
    if slowest[most:]:
        rows.append([f'{len(slowest) - most} others', '', '', '', *_figures(slowest[most:], total_ms, rates)])
    rows.append([f'all {len(layers)}', '', '', '', *_figures(layers, total_ms, rates)])
    reached = ', '.join(f'{precision} {rate:.0f}' for precision, rate in rates.items())
    caption = (
        f'Layers of {case}, batch {measured["batch_size"]}, {counted(threads, "thread")}: the fastest call of each. '
        f'Ceiling: large matrix products and convolutions in the same precision and runtime, GFLOP/s: {reached}; the '
        'share is the time that the multiply-adds would take at that rate, of the time that the layer takes'
    )
    return Table(caption, COLUMNS, rows, numeric=COLUMNS[4:])


def _figures(layers: Sequence[Mapping[str, Any]], total_ms: float, rates: Mapping[str, float]) -> list[str]:
    """Time, its share, the rate and its share of the ceiling: the part of the time that is needed at the ceiling."""
    ms, macs = sum(one['ms'] for one in layers), sum(one['macs'] for one in layers)
    share = f'{ms / total_ms:.1%}'
    if not macs:
        return [three_digits(ms), share, fixed(None), fixed(None)]
    least_ms = sum(2 * one['macs'] / rates[one['precision']] / 1e6 for one in layers if one['macs'])
    return [three_digits(ms), share, fixed(2 * macs / ms / 1e6, 0), f'{least_ms / ms:.0%}']
