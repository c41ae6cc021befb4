"""What a study leaves for people: results.json, results.md, charts, and one HTML file that holds all of it."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from projects.reporting.figures import png
from projects.reporting.markdown import Part, bullets, document
from projects.reporting.number_format import counted
from projects.reporting.pages import render_page
from projects.storage.atomic_files import write_file

from .charts import draw_fidelity, draw_sqnr
from .plan import Study
from .records import Latency
from .study import FAILED, read_latencies, read_measurements
from .tables import (
    DIFFERENCES,
    MEANING,
    RESTRICTED,
    RULE,
    Comparison,
    compare,
    comparison_table,
    findings,
    gaps,
    restriction_table,
    restrictions,
    score_table,
)


def write_report(study: Study, folder: Path) -> Path:
    """Write `results.json`, `results.md`, `charts/*.png` and `report.html` of a study, finished or not.

    Args:
        study: What was compared.
        folder: The study's.

    Returns:
        The HTML file.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'no study in {folder}: run it without --report-only first')
    measurements, latencies = read_measurements(folder), read_latencies(folder)
    comparisons, restricted = compare(study, measurements), restrictions(study, measurements)
    failed = json.loads((folder / FAILED).read_text()) if (folder / FAILED).is_file() else {}
    result = {
        'study': dataclasses.asdict(study),
        'measurements': [dataclasses.asdict(one) for one in measurements],
        'latencies': [dataclasses.asdict(one) for one in latencies],
        'comparisons': _dicts(comparisons),
        'restrictions': _dicts(restricted),
        'failed': failed,
    }
    write_file(folder / 'results.json', json.dumps(result, indent=1))
    measured = [name for name in study.networks if any(one.cell.network == name for one in measurements)]
    scores = [score_table(study, name, measurements, latencies) for name in measured]
    compared = [name for name in measured if any(one.network == name for one in comparisons)]
    differences = [comparison_table(study, name, comparisons) for name in compared]
    costly = [name for name in measured if any(one.network == name for one in restricted)]
    costs = [restriction_table(study, name, restricted, measurements) for name in costly]
    lines, missing = findings(study, comparisons), gaps(study, measurements)
    parts: list[Part] = [f'# {study.title}', *missing, '## Verdict', bullets(lines), RULE, *differences]
    parts += ['## What integer kernels cost', RESTRICTED, *costs] if costs else []
    parts += ['## Measured', MEANING, *scores, *machines(latencies), '## What failed', bullets(_failures(failed))]
    write_file(folder / 'results.md', document(parts) + '\n')
    drawn = {'fidelity': draw_fidelity(study, measurements), 'sqnr': draw_sqnr(study, measurements)}
    pictures = {name: None if figure is None else png(figure) for name, figure in drawn.items()}
    (folder / 'charts').mkdir(exist_ok=True)
    for name, picture in pictures.items():
        if picture is not None:
            write_file(folder / 'charts' / f'{name}.png', picture)
    page = render_page(
        Path(__file__).with_name('page.html'),
        study.title,
        gaps=missing,
        design=design(study),
        meaning=MEANING,
        findings=lines,
        rule=RULE,
        comparisons=differences,
        restricted=RESTRICTED,
        costs=costs,
        scores=scores,
        machines=machines(latencies),
        pictures=pictures,
        failed=failed,
    )
    write_file(folder / 'report.html', page)
    return folder / 'report.html'


def _dicts(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [
        dataclasses.asdict(one)
        | {name: found._asdict() for name in DIFFERENCES if (found := getattr(one, name)) is not None}
        for one in comparisons
    ]


def design(study: Study) -> str:
    """How many of everything."""
    return (
        f'{counted(len(study.networks), "network")}, {counted(len(study.seeds), "training")} of each, '
        f'{counted(study.calibration_sets, "disjoint calibration set")} of {study.calibration_images} training images, '
        f'{study.test_images} test images, {counted(study.draws, "draw")} of the bootstrap.'
    )


def machines(latencies: Sequence[Latency]) -> list[str]:
    """What was timed on what."""
    texts = [
        f'Latency on {counted(one.threads, "thread")} of {one.processor}, median and quartiles of rounds in turns, one '
        f'image of {one.image_size[0]}x{one.image_size[1]}.'
        for one in latencies
    ]
    return list(dict.fromkeys(texts))


def _failures(failed: Mapping[str, str]) -> list[str]:
    return [f'{name}: {reason}' for name, reason in failed.items()] or ['nothing']
