"""The study's tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from projects.reporting.number_format import NOTHING, fixed, plain, with_spread
from projects.reporting.tables import Table
from projects.storage.parameters import flatten
from projects.training.experiments.intervals import Spread, summarize

from ..height_classes import UNKNOWN
from .charts import axis_scores, varies
from .records import MAIN, Axis, Method, Results, StudyRecord
from .results import SCORES, best_validation, method_titles, trials_of

NO_BUILDINGS = 'no buildings'


def equal_steps_tables(results: Results) -> list[Table]:
    """Return F1 of the methods that have the same number of steps in all, and of those with the same on the target.

    The number is the one that most methods have; the teacher, and what learns nothing, stand in both.
    """
    tables = []
    for what, key in (('in all, teachers included', 'total_steps'), ('on the target', 'target_steps')):
        numbers = [getattr(method, key) for method in results.study.methods if method.trained]
        if not numbers:
            continue
        common = max(set(numbers), key=lambda number: (numbers.count(number), number))
        compared = [m for m in results.study.methods if m.trained and getattr(m, key) == common]
        beside = [m for m in results.study.methods if not m.trained or m.learns_from == ['source']]
        caption = (
            f'F1 in percent after {common} steps {what}; mean ± sample standard deviation over replicates, the highest '
            'in bold; below, the teacher and what needs no learning'
        )
        tables.append(_score_table(results, 'f1', caption, [*compared, *(m for m in beside if m not in compared)]))
    return tables


def score_tables(results: Results) -> list[Table]:
    """Return one table per score of the main comparison, of all methods: the highest means stand out."""
    return [
        _score_table(
            results,
            score,
            f'{title} in percent of all methods, mean ± sample standard deviation over replicates, the highest in bold',
            results.study.methods,
        )
        for score, title in SCORES.items()
    ]


def axis_table(results: Results, axis: Axis) -> Table | None:
    """Return F1 overall by the values of an axis, or None if none of its runs has finished."""
    rows = []
    for method in results.study.methods:
        by_value = axis_scores(results, axis, method.name)
        if any(by_value.values()) and (varies(axis, results, method.name) or method.trained):
            first, last = (by_value[value] for value in (axis.points[0][0], axis.points[-1][0]))
            changes = [last[replicate] - first[replicate] for replicate in first.keys() & last.keys()]
            change = fixed(sum(changes) / len(changes), signed=True) if changes else NOTHING
            figures = [figure_text(summarize(scores.values()), runs=axis.replicates) for scores in by_value.values()]
            rows.append([method.title, *figures, change])
    moved = {setting for _, setting in axis.points} - {MAIN}
    if not any(run.scores for run in results.runs if run.about.get('setting') in moved):
        return None
    values = [f'{value:g}{"" if axis.unit in ("", "°") else " "}{axis.unit}' for value, _ in axis.points]
    columns = ['method', *values, f'{values[0]} to {values[-1]}, same replicates']
    return Table(f'F1 overall in percent: {axis.title}, {axis.replicates} replicates', columns, rows)


def tuning_table(results: Results) -> Table | None:
    """Return every trial with its best validation, the chosen ones in bold; None without any."""
    rows: list[list[str]] = []
    best = set()
    for method in results.study.methods:
        scores = {run.about['trial']: best_validation(run) for run in trials_of(results.runs, method.name)}
        known = {number: score for number, score in scores.items() if score is not None}
        for number, options in enumerate(method.trials):
            if known and number == max(known, key=lambda each: (known[each], -each)):
                best.add((len(rows), 3))
            rows.append([method.title, str(number + 1), _listed(options), fixed(scores.get(number))])
        if method.tuned_as:
            rows.append([method.title, NOTHING, f'as {method_titles(results.study)[method.tuned_as]}', NOTHING])
    caption = 'Trials: best F1 of any validation in percent, on the tuning replicate; the chosen ones in bold'
    return Table(caption, ['method', 'trial', 'options', 'F1'], rows, frozenset(best)) if rows else None


def _listed(options: Mapping[str, Any]) -> str:
    return ', '.join(f'{key.rpartition(".")[2]} {plain(value)}' for key, value in options.items()) or NOTHING


def cost_table(results: Results) -> Table:
    """Return what each method costs, and mIoU beside it."""
    rows = []
    for method in results.study.methods:
        summary = results.summary[MAIN][method.name]
        steps = [str(method.total_steps), str(method.target_steps)] if method.trained else [NOTHING, NOTHING]
        costs = (figure_text(summary.train_minutes, 2), figure_text(summary.parameters_m, 2))
        rows.append([method.title, str(len(summary.replicates)), *steps, *costs, figure_text(summary.miou)])
    columns = ['method', 'runs', 'steps in all', 'on the target', 'training, minutes', 'parameters, M', 'mIoU, %']
    return Table(
        'Steps with those of the teacher; minutes of one run without it; mIoU of background and building', columns, rows
    )


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


def setting_table(study: StudyRecord) -> Table:
    """Return the settings: every field that the study states for the source of each."""
    names = list(dict.fromkeys(key for setting in study.settings for key in setting if key != 'name'))
    rows = [[setting['name'], *(plain(setting.get(name)) for name in names)] for setting in study.settings]
    return Table('The source in each setting', ['setting', *(_with_unit(name) for name in names)], rows)


def _score_table(results: Results, score: str, caption: str, methods: Sequence[Method]) -> Table:
    columns = {name: [results.spread(MAIN, m.name, name, score) for m in methods] for name in results.classes}
    columns = {name: stats for name, stats in columns.items() if name != UNKNOWN or any(stat.n for stat in stats)}
    empty = without_buildings(results)
    best = set()
    for column, stats in enumerate(columns.values(), start=1):
        highest = max((stat.mean for stat in stats if stat.mean is not None), default=None)
        best |= {(row, column) for row, stat in enumerate(stats) if highest is not None and stat.mean == highest}
    rows = [
        [
            method.title,
            *(
                NO_BUILDINGS
                if name in empty
                else figure_text(stats[row], runs=len(results.summary[MAIN][method.name].replicates))
                for name, stats in columns.items()
            ),
        ]
        for row, method in enumerate(methods)
    ]
    return Table(caption, ['method', *columns], rows, frozenset(best))


def without_buildings(results: Results) -> list[str]:
    """Return the height classes of which the test sets hold no building: they have no score, rather than 0."""
    counted = [run.counts['pixels'] for run in results.runs if run.counts]
    classes = [name for name in results.study.height_classes.names if counted and name in results.classes]
    return [n for n in classes if not any(c.get(n, {}).get('tp', 0) + c.get(n, {}).get('fn', 0) for c in counted)]


def figure_text(stat: Spread, digits: int = 1, runs: int | None = None) -> str:
    """'81.2 ± 0.4', '81.2' from one run, a dash from none; with '(n = 2)' where others of the `runs` lack the score."""
    if stat.mean is None:
        return NOTHING
    count = '' if runs in (None, stat.n) else f' (n = {stat.n})'
    return with_spread(stat.mean, stat.std, digits) + count


def _with_unit(name: str) -> str:
    """'median_px' -> 'median, px'."""
    stem, _, unit = name.rpartition('_')
    named = {'m': 'm', 'px': 'px', 'deg': '°', 'percent': '%'}
    return f'{stem.replace("_", " ")}, {named[unit]}' if unit in named and stem else name.replace('_', ' ')
