"""The study's tables, as Markdown and as HTML."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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

NOTHING = '–'
TABLE_SCORES = ('f1', 'iou', 'precision', 'recall', 'object_f1', 'object_precision', 'object_recall')


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        caption: What the figures are.
        columns: Names of the columns; the first one names the rows.
        rows: One text per column each.
        best: Row and column of each cell that stands out.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    def markdown(self) -> str:
        """Return the caption in bold and the table."""
        rows = [
            [f'**{cell}**' if (row, column) in self.best else cell for column, cell in enumerate(cells)]
            for row, cells in enumerate(self.rows)
        ]
        lines = [_markdown_line(cells) for cells in (self.columns, ['---'] * len(self.columns), *rows)]
        return '\n'.join([f'**{self.caption}**', '', *lines])

    def html(self) -> str:
        """Return a `table` element, all texts escaped."""
        head = ''.join(f'<th scope="col">{html.escape(name)}</th>' for name in self.columns)
        rows = [
            ''.join(self._html_cell(row, column, cell) for column, cell in enumerate(cells))
            for row, cells in enumerate(self.rows)
        ]
        body = '\n'.join(f'<tr>{cells}</tr>' for cells in rows)
        caption = f'<caption>{html.escape(self.caption)}</caption>'
        return (
            f'<div class="wide"><table>{caption}\n'
            f'<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
        )

    def _html_cell(self, row: int, column: int, cell: str) -> str:
        text = html.escape(cell).replace(' ± ', '&nbsp;±&nbsp;').replace('(n = ', '(n&nbsp;=&nbsp;')  # stay on a line
        if column == 0:
            return f'<th scope="row">{text}</th>'
        return f'<td class="best">{text}</td>' if (row, column) in self.best else f'<td>{text}</td>'


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


def plain(value: Any) -> str:
    """Return a value as a reader would write it: 0.25, '10 to 40' stays '10, 40', None is a dash."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.6g}'
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ', '.join(plain(each) for each in value) or NOTHING
    return str(value)


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
    spread = '' if stat['std'] is None else f' ± {stat["std"]:.{digits}f}'
    count = '' if runs in (None, stat['n']) else f' (n = {stat["n"]})'
    return f'{stat["mean"]:.{digits}f}{spread}{count}'


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
    return f'{sum(changes) / len(changes):+.1f}' if changes and domains[0] != domains[-1] else NOTHING


def _with_unit(name: str) -> str:
    """'median_px' -> 'median, px'."""
    stem, _, unit = name.rpartition('_')
    named = {'m': 'm', 'px': 'px', 'deg': '°', 'percent': '%'}
    return f'{stem.replace("_", " ")}, {named[unit]}' if unit in named and stem else name.replace('_', ' ')


def _markdown_line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(" ".join(cell.replace("|", chr(92) + "|").split()) for cell in cells)} |'
