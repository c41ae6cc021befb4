"""The speed claims of the papers, measured, as Markdown."""

import re
from collections.abc import Sequence
from typing import Any

from projects.reporting.markdown import Part, bullets, document
from projects.reporting.number_format import NOTHING, counted, three_digits, with_range
from projects.reporting.tables import Table

from ..benchmark.report import left_out
from ..benchmark.results import Results
from ..benchmark.timing import Case, Measurement, Quartiles, ratios
from .claims import CLAIMS, UNMEASURED
from .rule import HOLDS, LESS, SLOWER, Claim, Unmeasured

MARKS = {HOLDS: '✓', LESS: '◐', SLOWER: '✗'}
Column = tuple[str, str]  # runtime and precision
NAMES = {'eager': 'eager', 'traced': 'fused, traced', 'onnxruntime': 'ONNX Runtime', 'openvino': 'OpenVINO'}


def measured_ratios(
    claim: Claim, measurements: Sequence[Measurement], columns: Sequence[Column]
) -> list[Quartiles | None]:
    """Return how many times as fast the claim's first network was as its second, in each runtime; None: unknown."""
    by_case = {one.case: one for one in measurements}
    found: list[Quartiles | None] = []
    for runtime, precision in columns:
        faster, slower = (by_case.get(Case(one.label, runtime, precision)) for one in (claim.faster, claim.slower))
        found.append(None if faster is None or slower is None else ratios(slower, faster))
    return found


def render_claims(
    results: Results,
    groups: dict[str, list[Claim]] = CLAIMS,
    unmeasured: Sequence[Unmeasured] = UNMEASURED,
) -> str:
    """Return a table of all groups that the results have, with a caption before and what is missing after it.

    Args:
        results: A step for each group.
        groups: The claims.
        unmeasured: What could not be measured.
    """
    measurements = {name: results.measurements(name) for name in groups if results.has(name)}
    columns = list(
        dict.fromkeys((one.case.runtime, one.case.precision) for step in measurements.values() for one in step)
    )
    heading = ['claim', 'claimed', *(f'{NAMES.get(runtime, runtime)} {precision}' for runtime, precision in columns)]
    rows, verdicts, notes, papers = [], [], [], []
    for name, measured in measurements.items():
        for claim in groups[name]:
            found = measured_ratios(claim, measured, columns)
            papers += [] if claim.paper in papers else [claim.paper]
            notes += [claim.note] if claim.note else []
            mark = f' [{len(notes)}]' if claim.note else ''
            cells = [f'{claim.title}, {claim.place}, batch {measured[0].batch_size}{mark}', _claimed(claim)]
            for (runtime, _), ratio in zip(columns, found, strict=True):
                if ratio is None:
                    cells.append(NOTHING)
                    continue
                verdict = claim.verdict(runtime, ratio.median)
                verdicts.append((runtime, verdict))
                cells.append(f'{MARKS[verdict]} {with_range(*ratio)}')
            rows.append([f'{_short(claim.paper)}: {cells[0]}', *cells[1:]])
    parts: list[Part] = [_caption(results.data, verdicts), Table('', heading, rows, numeric=heading[2:])]
    parts += [
        '\n'.join(f'[{number}] {note}.  ' for number, note in enumerate(notes, 1)).rstrip(),
        bullets((f'{_short(o.paper)}: {o.claim}: {o.reason}.' for o in unmeasured), 'Claims that were not measured:'),
        left_out(results.data),
    ]
    sources = [*papers, *(one.paper for one in unmeasured if one.paper not in papers)]
    parts.append(f'Papers: {"; ".join(dict.fromkeys(sources))}.')
    return document(parts)


def _caption(data: dict[str, Any], verdicts: Sequence[tuple[str, str]]) -> str:
    machine, question = data['machine'], data['question']
    counts = []
    for runtime in dict.fromkeys(runtime for runtime, _ in verdicts):
        of_runtime = [verdict for one, verdict in verdicts if one == runtime]
        counts.append(f'{NAMES.get(runtime, runtime)} {of_runtime.count(HOLDS)} of {len(of_runtime)}')
    threads = question['threads'][0]
    versions = ', '.join(
        f'{name} {machine["versions"].get(name, "?")}' for name in ('torch', 'timm', 'onnxruntime', 'openvino')
    )
    return (
        f'Measured by `tools/benchmark.py --claims` on {machine["processor"]} ({" ".join(machine["instructions"])}), '
        f'{counted(threads, "thread")}, {data["begun"][:10]}; '
        f'{versions}.\nHow many times as fast the first network is as the second in the same runtime: median and '
        'quartiles over rounds in which the networks take turns.\n✓ at least as claimed, ◐ faster, but less than '
        'claimed, ✗ slower. Compared is the figure for a processor, in ONNX Runtime that for ONNX;\nwhere the paper '
        'has none, its first, for a GPU, which a processor need not reach. Eager: as built; the others with batch '
        'norms folded\nand branches merged; fused and traced is the protocol of the authors. Weights are random.\n'
        f'Claims that hold: {", ".join(counts)}.'
    )


def _claimed(claim: Claim) -> str:
    return ', '.join(f'{device} {three_digits(ratio)}' for device, ratio in claim.ratios.items())


def _short(paper: str) -> str:
    return re.sub(r',? \[.*', '', paper)
