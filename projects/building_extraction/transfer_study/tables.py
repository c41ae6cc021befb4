"""The study's tables."""

from collections.abc import Sequence

from projects.reporting.number_format import NOTHING, fixed, plain, with_spread
from projects.reporting.tables import Table
from projects.storage.parameters import flatten

from ..height_classes import OVERALL, UNKNOWN
from .baselines import EVERYTHING, everything_a_building
from .comparison import Spread
from .records import MAIN, Results, StudyRecord
from .results import SCORES, angle_domains, method_titles, scores_by_seed, source_domains


def score_tables(results: Results) -> list[Table]:
    """Return one table per score of the main domain: methods by height classes, the highest means standing out."""
    return [_score_table(results, score) for score in SCORES]


def angle_table(results: Results) -> Table | None:
    """Return F1 overall by the source's off-nadir angle, or None if the study has no angles."""
    study = results.study
    angles_deg = angle_domains(study)
    rows = []
    for method, title in method_titles(study).items():
        domains = source_domains(study, method, angles_deg)
        stats = [results.spread(domain, method, OVERALL) for domain in domains]
        if any(stat.n for stat in stats):
            rows.append([title, *(figure_text(stat) for stat in stats), _change(results, method, domains)])
    if not rows:
        return None
    angles = [f'{angle_deg:g}°' for angle_deg in angles_deg.values()]
    columns = ['method', *angles, f'{angles[0]} to {angles[-1]}, same seeds']
    return Table("F1 overall in percent by the source's off-nadir angle", columns, rows)


def cost_table(results: Results) -> Table:
    """Return what each method costs, and mIoU beside it."""
    rows = []
    for method, title in method_titles(results.study).items():
        summary = results.summary[MAIN][method]
        costs = (figure_text(summary.train_minutes, 2), figure_text(summary.parameters_m, 2))
        rows.append([title, str(len(summary.seeds)), *costs, figure_text(summary.miou)])
    columns = ['method', 'runs', 'training, minutes', 'parameters, M', 'mIoU, %']
    return Table('Cost of one run, its teacher not included, and mIoU of background and building', columns, rows)


def misalignment_table(study: StudyRecord) -> Table | None:
    """Return how far the source's labels are displaced per height class, or None if that was not measured."""
    if not study.misalignment:
        return None
    names = list(dict.fromkeys(name for values in study.misalignment.values() for name in values))
    rows = [[each, *(plain(values.get(name)) for name in names)] for each, values in study.misalignment.items()]
    columns = ['height class', *(_with_unit(name) for name in names)]
    return Table("Displacement of the source's labels from the buildings in its images", columns, rows)


def parameter_table(study: StudyRecord) -> Table:
    """Return everything that the study was made with, nested names joined by dots."""
    parameters = flatten(study.parameters)
    rows = [[name, plain(None if value == {} else value)] for name, value in parameters.items()]
    return Table('Parameters', ['parameter', 'value'], rows)


def domain_table(study: StudyRecord) -> Table:
    """Return the source domains: every field that the study states for them."""
    names = list(dict.fromkeys(key for domain in study.domains for key in domain if key != 'name'))
    rows = [[domain['name'], *(plain(domain.get(name)) for name in names)] for domain in study.domains]
    return Table('Source domains', ['domain', *(_with_unit(name) for name in names)], rows)


def _score_table(results: Results, score: str) -> Table:
    titles = method_titles(results.study)
    columns = {name: [results.spread(MAIN, method, name, score) for method in titles] for name in results.classes}
    columns = {name: stats for name, stats in columns.items() if name != UNKNOWN or any(stat.n for stat in stats)}
    best = set()
    for column, stats in enumerate(columns.values(), start=1):
        highest = max((stat.mean for stat in stats if stat.mean is not None), default=None)
        best |= {(row, column) for row, stat in enumerate(stats) if highest is not None and stat.mean == highest}
    rows = [
        [title, *(figure_text(stats[row], runs=len(results.summary[MAIN][method].seeds)) for stats in columns.values())]
        for row, (method, title) in enumerate(titles.items())
    ]
    baseline = everything_a_building(results).get(score)
    if baseline is not None:
        rows.append([EVERYTHING, *(fixed(baseline if name == OVERALL else None) for name in columns)])
    caption = f'{SCORES[score]} in percent, mean ± sample standard deviation over seeds, the highest in bold'
    return Table(caption, ['method', *columns], rows, frozenset(best))


def figure_text(stat: Spread, digits: int = 1, runs: int | None = None) -> str:
    """'81.2 ± 0.4', '81.2' from one run, a dash from none; with '(n = 2)' where other runs lack the score."""
    if stat.mean is None:
        return NOTHING
    count = '' if runs in (None, stat.n) else f' (n = {stat.n})'
    return with_spread(stat.mean, stat.std, digits) + count


def _change(results: Results, method: str, domains: Sequence[str]) -> str:
    first, last = (scores_by_seed(results.runs, domain, method, OVERALL) for domain in (domains[0], domains[-1]))
    changes = [last[seed] - first[seed] for seed in first.keys() & last.keys()]
    return fixed(sum(changes) / len(changes), signed=True) if changes and domains[0] != domains[-1] else NOTHING


def _with_unit(name: str) -> str:
    """'median_px' -> 'median, px'."""
    stem, _, unit = name.rpartition('_')
    named = {'m': 'm', 'px': 'px', 'deg': '°', 'percent': '%'}
    return f'{stem.replace("_", " ")}, {named[unit]}' if unit in named and stem else name.replace('_', ' ')
