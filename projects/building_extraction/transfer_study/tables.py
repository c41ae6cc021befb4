"""The study's tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from projects.reporting.number_format import NOTHING, fixed, plain, with_spread
from projects.reporting.tables import Table
from projects.storage.parameters import flatten

from .results import (
    OVERALL,
    SCORES,
    UNKNOWN_HEIGHT,
    angle_domains,
    main_domain,
    method_titles,
    scores_by_seed,
    source_domains,
)

TABLE_SCORES = ('f1', 'iou', 'precision', 'recall', 'object_f1', 'object_precision', 'object_recall')


def score_tables(results: dict[str, Any]) -> list[Table]:
    """Return one table per score of the main domain: methods by height classes, the highest means standing out."""
    return [_score_table(results, score) for score in TABLE_SCORES]


def angle_table(results: dict[str, Any]) -> Table | None:
    """Return F1 overall by the source's off-nadir angle, or None if the study has no angles."""
    study = results['study']
    angles_deg = angle_domains(study)
    rows = []
    for method, title in method_titles(study).items():
        domains = source_domains(study, method, angles_deg)
        stats = [_score(results, domain, method, OVERALL, 'f1') for domain in domains]
        if any(stat['n'] for stat in stats):
            rows.append([title, *(figure_text(stat) for stat in stats), _change(results, method, domains)])
    if not rows:
        return None
    angles = [f'{angle_deg:g}°' for angle_deg in angles_deg.values()]
    columns = ['method', *angles, f'{angles[0]} to {angles[-1]}, same seeds']
    return Table("F1 overall in percent by the source's off-nadir angle", columns, rows)


def cost_table(results: dict[str, Any]) -> Table:
    """Return what each method costs, and mIoU beside it."""
    study = results['study']
    rows = []
    for method, title in method_titles(study).items():
        summary = results['summary'].get(main_domain(study), {}).get(method, {})
        stats = [summary.get(name, {'n': 0}) for name in ('train_minutes', 'parameters_m', 'miou')]
        rows.append(
            [
                title,
                str(len(summary.get('seeds', []))),
                *(figure_text(s, d) for s, d in zip(stats, (2, 2, 1), strict=True)),
            ]
        )
    columns = ['method', 'runs', 'training, minutes', 'parameters, M', 'mIoU, %']
    return Table('Cost of one run, its teacher not included, and mIoU of background and building', columns, rows)


def misalignment_table(study: dict[str, Any]) -> Table | None:
    """Return how far the source's labels are displaced per height class, or None if that was not measured."""
    misalignment = study.get('misalignment')
    if not misalignment:
        return None
    names = list(dict.fromkeys(name for values in misalignment.values() for name in values))
    rows = [[each, *(plain(values.get(name)) for name in names)] for each, values in misalignment.items()]
    columns = ['height class', *(_with_unit(name) for name in names)]
    return Table("Displacement of the source's labels from the buildings in its images", columns, rows)


def parameter_table(study: dict[str, Any]) -> Table:
    """Return everything that the study was made with, nested names joined by dots."""
    parameters = flatten(study.get('parameters', {}))
    rows = [[name, plain(None if value == {} else value)] for name, value in parameters.items()]
    return Table('Parameters', ['parameter', 'value'], rows)


def domain_table(study: dict[str, Any]) -> Table:
    """Return the source domains: every field that the study states for them."""
    domains = study.get('domains', [])
    names = list(dict.fromkeys(key for domain in domains for key in domain if key not in ('name', 'title')))
    rows = [[d.get('title', d['name']), *(plain(d.get(name)) for name in names)] for d in domains]
    return Table('Source domains', ['domain', *(_with_unit(name) for name in names)], rows)


def _score_table(results: dict[str, Any], score: str) -> Table:
    study, classes = results['study'], results['classes']
    titles, domain = method_titles(study), main_domain(study)
    shown = [name for name in classes if name != UNKNOWN_HEIGHT or _has_score(results, domain, name, score)]
    stats = [[_score(results, domain, method, name, score) for name in shown] for method in titles]
    best = set()
    for column in range(len(shown)):
        means = [row[column]['mean'] for row in stats if row[column]['n']]
        best |= {(i, column + 1) for i, row in enumerate(stats) if means and row[column].get('mean') == max(means)}
    rows = [
        [title, *(figure_text(stat, runs=len(_seeds(results, domain, method))) for stat in row)]
        for (method, title), row in zip(titles.items(), stats, strict=True)
    ]
    caption = f'{SCORES[score]} in percent, mean ± sample standard deviation over seeds, the highest in bold'
    return Table(caption, ['method', *shown], rows, frozenset(best))


def figure_text(stat: Mapping[str, Any], digits: int = 1, runs: int | None = None) -> str:
    """'81.2 ± 0.4', '81.2' from one run, a dash from none; with '(n = 2)' where other runs lack the score."""
    if not stat['n']:
        return NOTHING
    count = '' if runs in (None, stat['n']) else f' (n = {stat["n"]})'
    return with_spread(stat['mean'], stat['std'], digits) + count


def _score(results: dict[str, Any], domain: str, method: str, height_class: str, score: str) -> dict[str, Any]:
    scores = results['summary'].get(domain, {}).get(method, {}).get('scores', {})
    return scores.get(height_class, {}).get(score, {'n': 0, 'mean': None, 'std': None})


def _seeds(results: dict[str, Any], domain: str, method: str) -> list[int]:
    return results['summary'].get(domain, {}).get(method, {}).get('seeds', [])


def _has_score(results: dict[str, Any], domain: str, height_class: str, score: str) -> bool:
    return any(_score(results, domain, m, height_class, score)['n'] for m in method_titles(results['study']))


def _change(results: dict[str, Any], method: str, domains: Sequence[str]) -> str:
    first, last = (scores_by_seed(results['runs'], domain, method, OVERALL) for domain in (domains[0], domains[-1]))
    changes = [last[seed] - first[seed] for seed in first.keys() & last.keys()]
    return fixed(sum(changes) / len(changes), signed=True) if changes and domains[0] != domains[-1] else NOTHING


def _with_unit(name: str) -> str:
    """'median_px' -> 'median, px'."""
    stem, _, unit = name.rpartition('_')
    named = {'m': 'm', 'px': 'px', 'deg': '°', 'percent': '%'}
    return f'{stem.replace("_", " ")}, {named[unit]}' if unit in named and stem else name.replace('_', ' ')
