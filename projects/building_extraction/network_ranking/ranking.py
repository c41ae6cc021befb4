"""The ranking of a grid of networks: encoders x decoders x losses x optimisers, by F1."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from projects.reporting.figures import new_figure, style_axes, write_figure
from projects.reporting.markdown import document
from projects.reporting.palette import distinct_colors
from projects.reporting.tables import Table
from projects.storage.atomic_files import write_file
from projects.training.experiments.intervals import Spread, summarize

from ..height_classes import OVERALL
from ..transfer_study.completeness import last_line
from ..transfer_study.records import FAILED, FINISHED, Results, RunRecord
from ..transfer_study.results import (
    read_results,
    status_counts,
    write_results,
)
from ..transfer_study.tables import figure_text

COMBINATION = ('encoder', 'decoder', 'loss', 'optimizer')
CHARTED_ROWS = 40


@dataclass(frozen=True)
class Ranked:
    """What a combination's finished runs come to.

    Attributes:
        combination: Names of `COMBINATION`.
        n: Runs.
        f1: Of each class that has scores, in percent.
        parameters_m: Millions.
        train_minutes: Of one run.
    """

    combination: tuple[str, ...]
    n: int
    f1: dict[str, Spread]
    parameters_m: Spread
    train_minutes: Spread

    @property
    def mean_f1(self) -> float | None:
        """Overall."""
        return self.f1[OVERALL].mean if OVERALL in self.f1 else None


def rank_grid(results: Results) -> list[Ranked]:
    """Return the combinations with finished runs by descending mean F1 overall, those without a score last.

    Args:
        results: Of `read_results`; each run names its encoder, decoder, loss and optimizer.
    """
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in results.runs:
        if run.status == FINISHED:
            groups.setdefault(tuple(run.about[name] for name in COMBINATION), []).append(run)
    rows = [
        Ranked(
            combination,
            len(runs),
            {name: summarize(run.scores.get(name, {}).get('f1') for run in runs) for name in results.classes},
            summarize(run.parameters_m for run in runs),
            summarize(run.train_minutes for run in runs),
        )
        for combination, runs in groups.items()
    ]
    return sorted(rows, key=_sort_key)


def ranking_table(results: Results) -> Table:
    """Return the ranking as a table."""
    classes = results.classes
    rows = [
        [
            str(rank),
            *row.combination,
            figure_text(row.parameters_m, 2),
            *(figure_text(row.f1[name], 1, row.n) for name in classes),
            figure_text(row.train_minutes, 1),
        ]
        for rank, row in enumerate(rank_grid(results), start=1)
    ]
    columns = ['rank', *COMBINATION, 'parameters, M', *(f'F1 {name}' for name in classes), 'minutes']
    return Table('Networks by F1 overall in percent', columns, rows)


def ranking_markdown(results: Results) -> str:
    """Return the ranking and the combinations that failed or are missing, as Markdown."""
    counts = ', '.join(f'{count} {status}' for status, count in status_counts(results).items())
    unfinished = [run for run in results.runs if run.status != FINISHED]
    rows = [[run.name, *(run.about[name] for name in COMBINATION), _reason(run)] for run in unfinished]
    missing = Table('Without a result', ['run', *COMBINATION, 'reason'], rows) if rows else None
    return document(['# Ranking of networks', f'{counts}.', ranking_table(results), missing]) + '\n'


def ranking_csv(results: Results) -> str:
    """Return the ranking as CSV, in full precision: an empty field where a figure is unknown."""
    classes = results.classes
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    names = [name.replace(' ', '_').replace('-', '_') for name in classes]
    spread = [column for name in names for column in (f'f1_{name}', f'f1_{name}_std')]
    writer.writerow(['rank', *COMBINATION, 'runs', 'parameters_m', *spread, 'train_minutes'])
    for rank, row in enumerate(rank_grid(results), start=1):
        figures = [figure for name in classes for figure in (row.f1[name].mean, row.f1[name].std)]
        costs = row.parameters_m.mean, row.train_minutes.mean
        writer.writerow([rank, *row.combination, row.n, costs[0], *figures, costs[1]])
    return buffer.getvalue()


def draw_ranking(results: Results) -> Figure | None:
    """Draw F1 overall of the best combinations as bars, and against the parameters as dots.

    Returns:
        The figure, or None if no combination has a score.
    """
    rows = [row for row in rank_grid(results) if row.mean_f1 is not None]
    if not rows:
        return None
    best = rows[:CHARTED_ROWS]
    decoders = list(dict.fromkeys(_decoder(row) for row in rows))
    colors = dict(zip(decoders, distinct_colors(len(decoders)), strict=True))
    figure = new_figure(13, max(4.0, 0.24 * len(best) + 1.2))
    bars, dots = figure.subplots(1, 2, width_ratios=(1.4, 1))
    means = [row.mean_f1 for row in best]
    spreads = [math.nan if (std := row.f1[OVERALL].std) is None else std for row in best]
    names = [' · '.join(row.combination) for row in best]
    bars.barh(range(len(best)), means, xerr=spreads, color=[colors[_decoder(row)] for row in best], capsize=2)
    bars.set_yticks(range(len(best)), names, fontsize=7)
    bars.invert_yaxis()
    bars.set(xlabel='F1 overall, %', xlim=(0, 100), title=f'the best {len(best)} of {len(rows)}')
    for decoder in decoders:
        chosen = [row for row in rows if _decoder(row) == decoder and row.parameters_m.n]
        parameters_m = [row.parameters_m.mean for row in chosen]
        dots.scatter(parameters_m, [row.mean_f1 for row in chosen], color=colors[decoder], label=decoder)
    dots.set(xlabel='parameters, M', ylabel='F1 overall, %', title='score against size')
    style_axes(bars, 'x')
    style_axes(dots)
    dots.legend(title='decoder', fontsize=8)
    return figure


def write_ranking(folder: Path) -> Path:
    """Write `results.json`, `ranking.md`, `ranking.csv` and `ranking.png` of a grid's folder.

    Args:
        folder: The grid's, with `study.json`, whose `runs` lists the planned runs.

    Returns:
        The Markdown file.
    """
    results = read_results(folder)
    write_results(results, folder / 'results.json')
    write_file(folder / 'ranking.csv', ranking_csv(results))
    figure = draw_ranking(results)
    if figure is not None:
        write_figure(figure, folder / 'ranking.png')
    write_file(folder / 'ranking.md', ranking_markdown(results))
    return folder / 'ranking.md'


def _sort_key(row: Ranked) -> tuple[bool, float, tuple[str, ...]]:
    return row.mean_f1 is None, -(row.mean_f1 or 0), row.combination


def _decoder(row: Ranked) -> str:
    return row.combination[COMBINATION.index('decoder')]


def _reason(run: RunRecord) -> str:
    return last_line(run.error) if run.status == FAILED else 'has not run'
