"""The ranking of a grid of networks: encoders x decoders x losses x optimisers, by F1."""

import csv
import io
import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from projects.building_extraction.transfer_study.comparison import summarise
from projects.building_extraction.transfer_study.completeness import last_line
from projects.building_extraction.transfer_study.results import (
    FAILED,
    FINISHED,
    OVERALL,
    read_results,
    status_counts,
    write_atomically,
    write_results,
)
from projects.building_extraction.transfer_study.tables import figure_text
from projects.reporting.figures import new_figure, style_axes, write_figure
from projects.reporting.number_format import NOTHING
from projects.reporting.palette import distinct_colors
from projects.reporting.tables import Table

COMBINATION = ('encoder', 'decoder', 'loss', 'optimizer')
CHARTED_ROWS = 40


def rank_grid(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the combinations with finished runs by descending mean F1 overall, those without a score last.

    Args:
        results: Of `read_results`; each run names its encoder, decoder, loss and optimizer.

    Returns:
        Per combination its four names, `n` runs, and mean, std and n of F1 per class (`f1`), `parameters_m` and
        `train_minutes`.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in results['runs']:
        if run['status'] == FINISHED:
            groups.setdefault(tuple(str(run.get(name)) for name in COMBINATION), []).append(run)
    rows = [
        {
            **dict(zip(COMBINATION, combination, strict=True)),
            'n': len(runs),
            'f1': {
                name: summarise(run['scores'].get(name, {}).get('f1') for run in runs) for name in results['classes']
            },
            'parameters_m': summarise(run.get('parameters_m') for run in runs),
            'train_minutes': summarise(run.get('train_minutes') for run in runs),
        }
        for combination, runs in groups.items()
    ]
    return sorted(rows, key=_sort_key)


def ranking_table(results: dict[str, Any]) -> Table:
    """Return the ranking as a table."""
    classes = results['classes']
    rows = [
        [
            str(rank),
            *(row[name] for name in COMBINATION),
            figure_text(row['parameters_m'], 2),
            *(figure_text(row['f1'][name], 1, row['n']) for name in classes),
            figure_text(row['train_minutes'], 1),
        ]
        for rank, row in enumerate(rank_grid(results), start=1)
    ]
    columns = ['rank', *COMBINATION, 'parameters, M', *(f'F1 {name}' for name in classes), 'minutes']
    return Table('Networks by F1 overall in percent', columns, rows)


def ranking_markdown(results: dict[str, Any]) -> str:
    """Return the ranking and the combinations that failed or are missing, as Markdown."""
    counts = status_counts(results)
    lines = [
        '# Ranking of networks',
        '',
        ', '.join(f'{count} {status}' for status, count in counts.items()) + '.',
        '',
        ranking_table(results).markdown(),
        '',
    ]
    unfinished = [run for run in results['runs'] if run['status'] != FINISHED]
    if unfinished:
        rows = [[run['name'], *(str(run.get(key, NOTHING)) for key in COMBINATION), _reason(run)] for run in unfinished]
        lines += [Table('Without a result', ['run', *COMBINATION, 'reason'], rows).markdown(), '']
    return '\n'.join(lines)


def ranking_csv(results: dict[str, Any]) -> str:
    """Return the ranking as CSV, in full precision: an empty field where a figure is unknown."""
    classes = results['classes']
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    names = [name.replace(' ', '_').replace('-', '_') for name in classes]
    spread = [column for name in names for column in (f'f1_{name}', f'f1_{name}_std')]
    writer.writerow(['rank', *COMBINATION, 'runs', 'parameters_m', *spread, 'train_minutes'])
    for rank, row in enumerate(rank_grid(results), start=1):
        figures = [row['f1'][name][part] for name in classes for part in ('mean', 'std')]
        costs = row['parameters_m']['mean'], row['train_minutes']['mean']
        writer.writerow([rank, *(row[name] for name in COMBINATION), row['n'], costs[0], *figures, costs[1]])
    return buffer.getvalue()


def draw_ranking(results: dict[str, Any]) -> Figure | None:
    """Draw F1 overall of the best combinations as bars, and against the parameters as dots.

    Returns:
        The figure, or None if no combination has a score.
    """
    rows = [row for row in rank_grid(results) if row['f1'].get(OVERALL, {}).get('n')]
    if not rows:
        return None
    best = rows[:CHARTED_ROWS]
    decoders = list(dict.fromkeys(row['decoder'] for row in rows))
    colours = dict(zip(decoders, distinct_colors(len(decoders)), strict=True))
    figure = new_figure(13, max(4.0, 0.24 * len(best) + 1.2))
    bars, dots = figure.subplots(1, 2, width_ratios=(1.4, 1))
    means = [row['f1'][OVERALL]['mean'] for row in best]
    spreads = [math.nan if (std := row['f1'][OVERALL]['std']) is None else std for row in best]
    names = [' · '.join(row[name] for name in COMBINATION) for row in best]
    bars.barh(range(len(best)), means, xerr=spreads, color=[colours[row['decoder']] for row in best], capsize=2)
    bars.set_yticks(range(len(best)), names, fontsize=7)
    bars.invert_yaxis()
    bars.set(xlabel='F1 overall, %', xlim=(0, 100), title=f'the best {len(best)} of {len(rows)}')
    for decoder in decoders:
        chosen = [row for row in rows if row['decoder'] == decoder and row['parameters_m']['n']]
        parameters_m = [row['parameters_m']['mean'] for row in chosen]
        dots.scatter(parameters_m, [r['f1'][OVERALL]['mean'] for r in chosen], color=colours[decoder], label=decoder)
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
    write_atomically(folder / 'ranking.csv', ranking_csv(results).encode())
    figure = draw_ranking(results)
    if figure is not None:
        write_figure(figure, folder / 'ranking.png')
    write_atomically(folder / 'ranking.md', ranking_markdown(results).encode())
    return folder / 'ranking.md'


def _sort_key(row: dict[str, Any]) -> tuple[bool, float, tuple[str, ...]]:
    mean = row['f1'].get(OVERALL, {}).get('mean')
    return mean is None, -(mean or 0), tuple(row[name] for name in COMBINATION)


def _reason(run: dict[str, Any]) -> str:
    return last_line(run['error']) if run['status'] == FAILED else 'has not run'
