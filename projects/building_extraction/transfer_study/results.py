"""A study's runs in one place: what finished, failed or is missing, and what the scores come to over replicates."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from projects.storage.atomic_files import write_file
from projects.training.experiments.intervals import summarize

from ..height_classes import OVERALL, UNKNOWN
from .differences import Difference, bootstrap_f1, compare
from .records import FAILED, FINISHED, MAIN, MISSING, TUNING, MethodSummary, Results, RunRecord, StudyRecord, about

SCORES = {
    'f1': 'F1',
    'iou': 'IoU',
    'precision': 'precision',
    'recall': 'recall',
    'object_f1': 'object F1',
    'object_precision': 'object precision',
    'object_recall': 'object recall',
}
HALFWAY = (('aligned', ('teacher', 'clean')), ('aligned_told', ('teacher', 'clean')))
"""Methods that are compared with the mean F1 of two others, by names: above it, more than half of the gap is closed."""


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
    found = {name for run in runs for name in run.scores}
    heights_known = study.methods and found.intersection(study.height_classes.names)
    named = [OVERALL, *study.height_classes.names] if heights_known else []  # a class without buildings as well
    classes = [*named, *(name for name in dict.fromkeys(n for run in runs for n in run.scores) if name not in named)]
    if classes == [OVERALL, UNKNOWN]:
        classes = [OVERALL]  # the same figures
    settings = [setting['name'] for setting in study.settings]
    return Results(
        study,
        runs,
        classes,
        summary={setting: _summary(study, runs, setting, classes) for setting in settings},
        differences=_differences(study, runs, classes),
    )


def method_titles(study: StudyRecord) -> dict[str, str]:
    """Return the methods' titles by name, in the order of display."""
    return {method.name: method.title for method in study.methods}


def status_counts(results: Results) -> dict[str, int]:
    """Return how many runs have finished, have failed and are missing."""
    counts = Counter(run.status for run in results.runs)
    return {status: counts[status] for status in (FINISHED, FAILED, MISSING)}


def finished_runs(runs: Sequence[RunRecord], setting: str, method: str) -> dict[int, RunRecord]:
    """Return a method's finished runs in a setting by replicate, in ascending order."""
    chosen = {
        run.about['replicate']: run
        for run in runs
        if run.status == FINISHED and (run.about.get('setting'), run.about.get('method')) == (setting, method)
    }
    return dict(sorted(chosen.items()))


def trials_of(runs: Sequence[RunRecord], method: str) -> list[RunRecord]:
    """Return the trials of a method's hyper-parameters, in their order."""
    found = [run for run in runs if (run.about.get('setting'), run.about.get('method')) == (TUNING, method)]
    return sorted(found, key=lambda run: run.about['trial'])


def best_validation(run: RunRecord) -> float | None:
    """Return the highest F1 of a run's validations in percent, None without any."""
    return max((f1 for f1 in run.f1_curve.values() if f1 is not None), default=None)


def scores_of(
    runs: Sequence[RunRecord], setting: str, method: str, height_class: str, score: str = 'f1'
) -> dict[int, float]:
    """Return a score in percent by replicate, without runs where it is undefined."""
    values = {
        replicate: run.scores.get(height_class, {}).get(score)
        for replicate, run in finished_runs(runs, setting, method).items()
    }
    return {replicate: value for replicate, value in values.items() if value is not None}


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
    study: StudyRecord, runs: Sequence[RunRecord], setting: str, classes: Sequence[str]
) -> dict[str, MethodSummary]:
    summary = {}
    for method in method_titles(study):
        finished = finished_runs(runs, setting, method)
        summary[method] = MethodSummary(
            replicates=list(finished),
            scores={
                name: {score: summarize(scores_of(runs, setting, method, name, score).values()) for score in SCORES}
                for name in classes
            },
            miou=summarize(run.miou for run in finished.values()),
            train_minutes=summarize(run.train_minutes for run in finished.values()),
            parameters_m=summarize(run.parameters_m for run in finished.values()),
        )
    return summary


def _differences(study: StudyRecord, runs: Sequence[RunRecord], classes: Sequence[str]) -> list[Difference]:
    finished = {method: finished_runs(runs, MAIN, method) for method in method_titles(study)}
    found: list[Difference] = []

    @cache
    def bootstrapped(replicates: tuple[int, ...]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By method, F1 of replicates and draws, and classes last."""
        methods = [method for method, own in finished.items() if own.keys() >= set(replicates)]
        counts = [np.stack([_counts(finished[m][r], classes) for m in methods], axis=1) for r in replicates]
        observed, drawn = bootstrap_f1(counts)
        return {method: (observed[:, i], drawn[:, :, i]) for i, method in enumerate(methods)}

    pairs: list[tuple[str, tuple[str, ...]]] = [(method, (other,)) for method, other in combinations(finished, 2)]
    pairs += [(method, others) for method, others in HALFWAY if finished.keys() >= {method, *others}]
    for method, others in pairs:
        replicates = set.intersection(*(set(finished[each]) for each in (method, *others)))
        common = tuple(r for r in finished[method] if r in replicates and finished[method][r].images)
        if not common:
            continue
        f1 = bootstrapped(common)
        theirs = [np.mean([f1[each][kind] for each in others], axis=0) for kind in (0, 1)]
        for index, name in enumerate(classes):
            ours, other = ((each[0][:, index], each[1][..., index]) for each in (f1[method], theirs))
            difference = compare(method, ' and '.join(others), name, ours, other)
            found += [difference] if difference else []
    return found


def _counts(run: RunRecord, classes: Sequence[str]) -> np.ndarray:
    """(T, C, 3) counts of a run's tiles, in the order of their names."""
    counts = np.zeros((len(run.images), len(classes), 3))
    for number, name in enumerate(sorted(run.images)):
        for height_class, row in run.images[name].items():
            if height_class in classes:
                counts[number, classes.index(height_class)] = row
            counts[number, classes.index(OVERALL)] += row
    return counts
