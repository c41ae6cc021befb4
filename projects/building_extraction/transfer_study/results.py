"""A study's runs in one place: what finished, failed or is missing, and what the scores come to over the seeds."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from projects.storage.atomic_files import write_file

from .comparison import compare, summarize
from .records import (
    FAILED,
    FINISHED,
    MAIN,
    MISSING,
    MethodComparison,
    MethodSummary,
    Results,
    RunRecord,
    StudyRecord,
    about,
    angle_domain,
)

SCORES = {
    'f1': 'F1',
    'iou': 'IoU',
    'precision': 'precision',
    'recall': 'recall',
    'object_f1': 'object F1',
    'object_precision': 'object precision',
    'object_recall': 'object recall',
}


def read_results(folder: Path) -> Results:
    """Merge what the runs of a study have left in its folder.

    Every folder in `runs/` with a `result.json` or an `error.txt` is a run; with both, it has finished at last. A
    result that cannot be read counts as failed; planned runs without either file are missing.

    Args:
        folder: The study's, with `study.json` and `runs/`.

    Raises:
        FileNotFoundError: If there is no `study.json`.
    """
    path = folder / 'study.json'
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; give the folder that a study wrote.')
    study = StudyRecord.from_json(read_json(path))
    runs = _read_runs(folder, study.runs)
    classes = list(dict.fromkeys(name for run in runs for name in run.scores))
    domains = [domain['name'] for domain in study.domains]
    return Results(
        study,
        runs,
        classes,
        summary={domain: _summary(study, runs, domain, classes) for domain in domains},
        comparisons={domain: _comparisons(study, runs, domain, classes) for domain in domains},
    )


def angle_domains(study: StudyRecord) -> dict[str, float]:
    """Return the angle in degrees of each domain that is seen at one angle only, in ascending order."""
    return {angle_domain(angle_deg): angle_deg for angle_deg in sorted(study.angles_deg)}


def source_domains(study: StudyRecord, method: str, domains: Iterable[str]) -> list[str]:
    """Return the domains whose runs stand for a method on some domains: the main one for each if it uses no source."""
    return [domain if uses_source(study, method) else MAIN for domain in domains]


def uses_source(study: StudyRecord, method: str) -> bool:
    """Return whether a method learns from the source domain."""
    return next(each.uses_source for each in study.methods if each.name == method)


def method_titles(study: StudyRecord) -> dict[str, str]:
    """Return the methods' titles by name, in the order of display."""
    return {method.name: method.title for method in study.methods}


def status_counts(results: Results) -> dict[str, int]:
    """Return how many runs have finished, have failed and are missing."""
    counts = Counter(run.status for run in results.runs)
    return {status: counts[status] for status in (FINISHED, FAILED, MISSING)}


def finished_runs(runs: Sequence[RunRecord], domain: str, method: str) -> dict[int, RunRecord]:
    """Return a method's finished runs on a domain by seed, in ascending order."""
    chosen = {
        run.about['seed']: run
        for run in runs
        if run.status == FINISHED and (run.about.get('domain'), run.about.get('method')) == (domain, method)
    }
    return dict(sorted(chosen.items()))


def scores_by_seed(
    runs: Sequence[RunRecord], domain: str, method: str, height_class: str, score: str = 'f1'
) -> dict[int, float]:
    """Return a score in percent by seed, without runs where it is undefined."""
    values = {
        seed: run.scores.get(height_class, {}).get(score) for seed, run in finished_runs(runs, domain, method).items()
    }
    return {seed: value for seed, value in values.items() if value is not None}


def write_results(results: Results, path: Path) -> None:
    """Write merged results as JSON."""
    write_file(path, json.dumps(results.to_json(), indent=1, allow_nan=False))


def read_json(path: Path) -> Any:
    """Read JSON, with NaN and infinities as None."""
    return json.loads(path.read_text(encoding='utf-8'), parse_constant=lambda _: None)


def _read_runs(folder: Path, planned: Sequence[Mapping[str, Any]]) -> list[RunRecord]:
    """Return planned runs in their order, then others that were found."""
    runs = {run['name']: RunRecord(run['name'], about(run)) for run in planned}
    files = [path for name in ('result.json', 'error.txt') for path in (folder / 'runs').glob(f'*/{name}')]
    for run_folder in sorted({path.parent for path in files}):
        planned_about = runs[run_folder.name].about if run_folder.name in runs else {}
        runs[run_folder.name] = _read_run(run_folder, folder, planned_about)
    return list(runs.values())


def _read_run(run_folder: Path, folder: Path, planned_about: dict[str, Any]) -> RunRecord:
    path = run_folder / 'result.json'
    place = run_folder.relative_to(folder).as_posix()
    if path.is_file():
        try:
            return RunRecord.from_json(read_json(path), run_folder.name, place)
        except (ValueError, KeyError, TypeError, AttributeError) as cause:
            error = f'{path.name} cannot be read: {type(cause).__name__}: {cause}. Delete it and run again.'
    else:
        error = (run_folder / 'error.txt').read_text(encoding='utf-8', errors='replace')
    return RunRecord(run_folder.name, planned_about, FAILED, place, error)


def _summary(
    study: StudyRecord, runs: Sequence[RunRecord], domain: str, classes: Sequence[str]
) -> dict[str, MethodSummary]:
    summary = {}
    for method in method_titles(study):
        finished = finished_runs(runs, domain, method)
        summary[method] = MethodSummary(
            seeds=list(finished),
            scores={
                name: {score: summarize(scores_by_seed(runs, domain, method, name, score).values()) for score in SCORES}
                for name in classes
            },
            miou=summarize(run.miou for run in finished.values()),
            train_minutes=summarize(run.train_minutes for run in finished.values()),
            parameters_m=summarize(run.parameters_m for run in finished.values()),
        )
    return summary


def _comparisons(
    study: StudyRecord, runs: Sequence[RunRecord], domain: str, classes: Sequence[str]
) -> list[MethodComparison]:
    return [
        MethodComparison(method, other, name, 'f1', compare(*scores))
        for method, other in combinations(method_titles(study), 2)
        for name in classes
        if all(scores := [scores_by_seed(runs, domain, each, name) for each in (method, other)])
    ]
