"""The ranking of a grid of networks by F1, and how much of it is decided."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from projects.reporting.figures import new_figure, style_axes, write_figure
from projects.reporting.markdown import Part, bullets, document
from projects.reporting.number_format import NOTHING, fixed
from projects.reporting.palette import distinct_colors
from projects.reporting.tables import Table
from projects.storage.atomic_files import write_file

from ..height_classes import OVERALL
from ..transfer_study.completeness import failed_runs, gaps, last_line, missing_runs
from ..transfer_study.differences import Difference
from ..transfer_study.doubts import doubts
from ..transfer_study.records import MAIN, Method, Results
from ..transfer_study.results import read_results, write_results
from ..transfer_study.tables import figure_text, tuning_table
from ..transfer_study.verdict import SIGNIFICANT, difference_text
from .grid import AXES

CHARTED_ROWS = 40
DECODER = AXES['decoders']
TOLD, UNTOLD, FIRST = 'below the first', 'not decided', 'first'
RULE = (
    'Differences are from the first, in points of F1, on the same replicates and test tiles, with the 95 % interval of '
    'a hierarchical bootstrap. A network counts as below the first if the one-sided p-value, multiplied by the number '
    'of others, is under 0.05: in 95 % of grids the best network, whichever it is, is then not among those that are '
    'ruled out (multiple comparisons with the best: Hsu, Annals of Statistics 9, 1981). Others are not decided.'
)


@dataclass(frozen=True)
class Ranked:
    """A network in its place.

    Attributes:
        network: The method that it is in the study.
        mean_f1: Overall, in percent; None without a score.
        outcome: FIRST, TOLD or UNTOLD; a dash without a score.
        below: Its difference from the first; None of the first, and where there is none on the same replicates.
        p: That it is not below the first, one-sided, multiplied by the number of the other networks.
    """

    network: Method
    mean_f1: float | None
    outcome: str
    below: Difference | None = None
    p: float | None = None


def rank_networks(results: Results) -> list[Ranked]:
    """Return the networks by descending mean F1 overall, those without a score last.

    Args:
        results: Of the study that a grid was.
    """
    networks = [method for method in results.study.methods if method.trained]
    means = {method.name: results.spread(MAIN, method.name, OVERALL).mean for method in networks}
    ranked = sorted(networks, key=lambda method: (means[method.name] is None, -(means[method.name] or 0)))
    others = sum(mean is not None for mean in means.values()) - 1
    rows = []
    for place, network in enumerate(ranked):
        below = results.difference(network.name, ranked[0].name, OVERALL)
        p = None
        if below is not None and below.p is not None:
            p = min(1.0, others * (below.p / 2 if below.mean < 0 else 1 - below.p / 2))
        outcome = FIRST if place == 0 else TOLD if p is not None and p < SIGNIFICANT else UNTOLD
        mean = means[network.name]
        rows.append(Ranked(network, mean, NOTHING if mean is None else outcome, below, p))
    return rows


def ranking_table(results: Results) -> Table:
    """Return the ranking as a table, what needs no learning below it."""
    columns = ['rank', *AXES.values(), 'parameters, M', *(f'F1 {name}' for name in results.classes)]
    rows = [
        [
            str(rank),
            *row.network.facts.values(),
            figure_text(results.summary[MAIN][row.network.name].parameters_m, 2),
            *_scores(results, row.network),
            difference_text(row.below),
            NOTHING if row.p is None else fixed(row.p, 3),
            row.outcome,
            figure_text(results.summary[MAIN][row.network.name].train_minutes, 1),
        ]
        for rank, row in enumerate(rank_networks(results), start=1)
    ]
    blank = [NOTHING] * (len(AXES) - 1)
    rows += [
        [NOTHING, method.title, *blank, NOTHING, *_scores(results, method), *[NOTHING] * 4]
        for method in results.study.methods
        if not method.trained
    ]
    caption = 'F1 in percent, mean ± sample standard deviation over replicates; minutes of one training'
    return Table(caption, [*columns, 'from the first', 'p', 'outcome', 'minutes'], rows)


def _scores(results: Results, method: Method) -> list[str]:
    runs = len(results.summary[MAIN][method.name].replicates)
    return [figure_text(results.spread(MAIN, method.name, name), 1, runs) for name in results.classes]


def answer(results: Results) -> str:
    """Say in a sentence which networks may be the best."""
    scored = [row for row in rank_networks(results) if row.mean_f1 is not None]
    if not scored:
        return 'No network has a score yet.'
    first = scored[0].network.title
    untold = sum(row.outcome == UNTOLD for row in scored)
    if not untold:
        return f'{first} is the best of {len(scored)} networks.'
    below = len(scored) - 1 - untold
    return (
        f'{first} is first of {len(scored)} networks; {untold} of the others cannot be told from it, {below} '
        f'{"is" if below == 1 else "are"} below it.'
    )


def ranking_markdown(results: Results) -> str:
    """Return the ranking, and what it lacks, as Markdown."""
    failed = [f'{run.name} failed: {last_line(run.error)}' for run in failed_runs(results)]
    parts: list[Part] = [f'# {results.study.title}', *doubts(results), *gaps(results), f'**{answer(results)}**']
    parts += [ranking_table(results), RULE, '## Trials', tuning_table(results)]
    parts += ['## Runs without a result', bullets([*failed, *missing_runs(results)])]
    return document(parts) + '\n'


def ranking_csv(results: Results) -> str:
    """Return the ranking as CSV, in full precision: an empty field where a figure is unknown."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    names = [name.replace(' ', '_').replace('-', '_') for name in results.classes]
    spread = [column for name in names for column in (f'f1_{name}', f'f1_{name}_std')]
    below = ['below_first', 'below_first_low', 'below_first_high', 'p']
    writer.writerow(['rank', *AXES.values(), 'replicates', 'parameters_m', *spread, *below, 'train_minutes'])
    for rank, row in enumerate(rank_networks(results), start=1):
        summary = results.summary[MAIN][row.network.name]
        f1 = [results.spread(MAIN, row.network.name, name) for name in results.classes]
        figures = [figure for each in f1 for figure in (each.mean, each.std)]
        differences: list[float | None] = [None] * len(below)
        if row.below is not None:
            differences = [row.below.mean, row.below.low, row.below.high, row.p]
        costs = summary.parameters_m.mean, summary.train_minutes.mean
        replicates = len(summary.replicates)
        writer.writerow([rank, *row.network.facts.values(), replicates, costs[0], *figures, *differences, costs[1]])
    return buffer.getvalue()


def draw_ranking(results: Results) -> Figure | None:
    """Draw F1 overall of the best networks as bars, with their distance from the first, and against the parameters.

    Returns:
        The figure, or None if no network has a score.
    """
    scored = [(row, row.mean_f1) for row in rank_networks(results) if row.mean_f1 is not None]
    if not scored:
        return None
    rows, means = [row for row, _ in scored], [mean for _, mean in scored]
    best = rows[:CHARTED_ROWS]
    decoders = list(dict.fromkeys(row.network.facts[DECODER] for row in rows))
    colors = dict(zip(decoders, distinct_colors(len(decoders)), strict=True))
    figure = new_figure(13, max(4.0, 0.24 * len(best) + 1.2))
    bars, dots = figure.subplots(1, 2, width_ratios=(1.4, 1))
    places = range(len(best))
    bars.barh(places, means[: len(best)], color=[colors[row.network.facts[DECODER]] for row in best])
    for place, row in enumerate(best):
        if row.below is not None and row.below.low is not None and row.below.high is not None:
            ends = [means[0] + row.below.low, means[0] + row.below.high]
            bars.plot(ends, [place, place], color='black', linewidth=1)
    bars.set_yticks(places, [row.network.title for row in best], fontsize=7)
    bars.invert_yaxis()
    title = f'the best {len(best)} of {len(rows)}; 95 % interval of the distance from the first'
    bars.set(xlabel='F1 overall, %', xlim=(0, 100), title=title)
    for decoder in decoders:
        chosen = [(row, mean) for row, mean in scored if row.network.facts[DECODER] == decoder]
        sizes = [results.summary[MAIN][row.network.name].parameters_m.mean for row, _ in chosen]
        dots.scatter(sizes, [mean for _, mean in chosen], color=colors[decoder], label=decoder)
    dots.set(xlabel='parameters, M', ylabel='F1 overall, %', title='score against size')
    style_axes(bars, 'x')
    style_axes(dots)
    dots.legend(title='decoder', fontsize=8)
    return figure


def write_ranking(folder: Path) -> Path:
    """Write `results.json`, `ranking.md`, `ranking.csv` and `ranking.png` of a grid's folder.

    Args:
        folder: The grid's, with `study.json` and `runs/`.

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
