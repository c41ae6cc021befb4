"""A study's runs in one place: what finished, failed or is missing, and what the scores come to over the seeds."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from projects.storage.atomic_files import replacing

from .comparison import compare, summarise

SCORES = {
    'f1': 'F1',
    'iou': 'IoU',
    'precision': 'precision',
    'recall': 'recall',
    'object_f1': 'object F1',
    'object_precision': 'object precision',
    'object_recall': 'object recall',
}
FINISHED, FAILED, MISSING = 'finished', 'failed', 'missing'
OVERALL, UNKNOWN_HEIGHT = 'overall', 'unknown height'
COSTS = ('miou', 'train_minutes', 'parameters_m')


def read_results(folder: Path) -> dict[str, Any]:
    """Merge what the runs of a study have left in its folder.

    Every folder in `runs/` with a `result.json` or an `error.txt` is a run; with both, it has finished at last. A
    result that cannot be read counts as failed.

    Args:
        folder: The study's, with `study.json` and `runs/`.

    Returns:
        `study`; `runs`, each with `status` and `folder`, planned ones without either file as missing; `classes`, the
        height classes with 'overall' first; `summary` by domain and method: n, mean and sample standard deviation of
        every score and cost; `comparisons` by domain: paired differences of F1 between each two methods.

    Raises:
        FileNotFoundError: If there is no `study.json`.
    """
    path = folder / 'study.json'
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; give the folder that a study wrote.')
    study = read_json(path)
    runs = _read_runs(folder, planned_runs(study))
    classes = list(dict.fromkeys(name for run in runs for name in run.get('scores', {})))
    return {
        'study': study,
        'runs': runs,
        'classes': classes,
        'summary': {domain: _summary(study, runs, domain, classes) for domain in domains_of(study)},
        'comparisons': {domain: _comparisons(study, runs, domain, classes) for domain in domains_of(study)},
    }


def domains_of(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the source domains by name; those of `angles_deg` are added where the list of domains leaves them out."""
    domains = {domain['name']: domain for domain in study.get('domains', [])}
    for angle_deg in study.get('angles_deg', []):
        name = f'angle-{angle_deg:g}'
        domains.setdefault(name, {'name': name, 'off_nadir_deg': [angle_deg, angle_deg]})
    return domains


def main_domain(study: dict[str, Any]) -> str:
    """Return the domain that the verdict is about: 'main', or the first one where none is called so."""
    return next(iter(sorted(domains_of(study), key=lambda name: name != 'main')), 'main')


def angle_domains(study: dict[str, Any]) -> dict[str, float]:
    """Return the angle in degrees of each domain that is seen at one angle only, in ascending order."""
    angles_deg = {f'angle-{angle_deg:g}': angle_deg for angle_deg in study.get('angles_deg', [])}
    return dict(sorted(angles_deg.items(), key=lambda item: item[1]))


def source_domains(study: dict[str, Any], method: str, domains: Iterable[str]) -> list[str]:
    """Return the domains whose runs stand for a method on some domains: the main one for each if it uses no source."""
    return [domain if uses_source(study, method) else main_domain(study) for domain in domains]


def uses_source(study: dict[str, Any], method: str) -> bool:
    """Return whether a method learns from the source domain, which it does unless the study says otherwise."""
    return next(each.get('uses_source', True) for each in study['methods'] if each['name'] == method)


def method_titles(study: dict[str, Any]) -> dict[str, str]:
    """Return the methods' titles by name, in the order of display."""
    return {method['name']: method.get('title', method['name']) for method in study.get('methods', [])}


def planned_runs(study: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the runs of a study as it lists them, else every method on every domain with every seed.

    A method with `uses_source: false` is planned on the main domain only: the others would repeat it.
    """
    if 'runs' in study:
        return [dict(run) for run in study['runs']]
    return [
        {'name': f'{domain}-{method["name"]}-seed{seed}', 'method': method['name'], 'domain': domain, 'seed': seed}
        for domain in domains_of(study)
        for method in study.get('methods', [])
        if source_domains(study, method['name'], [domain]) == [domain]
        for seed in study.get('seeds', [])
    ]


def study_title(study: dict[str, Any]) -> str:
    """Return what the study is called."""
    return study.get('title') or study.get('name', 'Study')


def status_counts(results: dict[str, Any]) -> dict[str, int]:
    """Return how many runs have finished, have failed and are missing."""
    counts = Counter(run['status'] for run in results['runs'])
    return {status: counts[status] for status in (FINISHED, FAILED, MISSING)}


def finished_runs(runs: Sequence[dict[str, Any]], domain: str, method: str) -> dict[int, dict[str, Any]]:
    """Return a method's finished runs on a domain by seed, in ascending order."""
    chosen = {
        run['seed']: run
        for run in runs
        if run['status'] == FINISHED and (run.get('domain'), run.get('method')) == (domain, method)
    }
    return dict(sorted(chosen.items()))


def scores_by_seed(
    runs: Sequence[dict[str, Any]], domain: str, method: str, height_class: str, score: str = 'f1'
) -> dict[int, float]:
    """Return a score in percent by seed, without runs where it is undefined."""
    values = {
        seed: run['scores'].get(height_class, {}).get(score)
        for seed, run in finished_runs(runs, domain, method).items()
    }
    return {seed: value for seed, value in values.items() if value is not None}


def write_results(results: dict[str, Any], path: Path) -> None:
    """Write merged results as JSON."""
    write_atomically(path, json.dumps(results, indent=1, allow_nan=False).encode())


def read_json(path: Path) -> Any:
    """Read JSON, with NaN and infinities as None."""
    return json.loads(path.read_text(encoding='utf-8'), parse_constant=lambda _: None)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _read_runs(folder: Path, planned: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return planned runs in their order, then others that were found, each with `status` and `folder`."""
    runs = {run['name']: {**run, 'status': MISSING, 'folder': None} for run in planned}
    files = [path for name in ('result.json', 'error.txt') for path in (folder / 'runs').glob(f'*/{name}')]
    for run_folder in sorted({path.parent for path in files}):
        found = {**_read_run(run_folder), 'folder': run_folder.relative_to(folder).as_posix()}
        runs[run_folder.name] = {**runs.get(run_folder.name, {}), **found}
    return list(runs.values())


def _read_run(folder: Path) -> dict[str, Any]:
    path = folder / 'result.json'
    if not path.is_file():
        error = (folder / 'error.txt').read_text(encoding='utf-8', errors='replace')
        return {'name': folder.name, 'status': FAILED, 'error': error}
    try:
        result = read_json(path)
        about = result.pop('run')
        return {**about, **result, 'scores': dict(result['scores']), 'name': folder.name, 'status': FINISHED}
    except (ValueError, KeyError, TypeError) as error:
        text = f'{path.name} cannot be read: {type(error).__name__}: {error}. Delete it and run again.'
        return {'name': folder.name, 'status': FAILED, 'error': text}


def _summary(
    study: dict[str, Any], runs: Sequence[dict[str, Any]], domain: str, classes: Sequence[str]
) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for method in method_titles(study):
        finished = finished_runs(runs, domain, method)
        summary[method] = {
            'seeds': list(finished),
            'scores': {
                name: {score: summarise(scores_by_seed(runs, domain, method, name, score).values()) for score in SCORES}
                for name in classes
            },
            **{cost: summarise(run.get(cost) for run in finished.values()) for cost in COSTS},
        }
    return summary


def _comparisons(
    study: dict[str, Any], runs: Sequence[dict[str, Any]], domain: str, classes: Sequence[str]
) -> list[dict[str, Any]]:
    return [
        {'method': method, 'other': other, 'class': name, 'score': 'f1', **compare(*scores)}
        for method, other in combinations(method_titles(study), 2)
        for name in classes
        if all(scores := [scores_by_seed(runs, domain, each, name) for each in (method, other)])
    ]
