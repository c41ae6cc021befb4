"""The study's charts: F1 per height class, learning curves, F1 along each axis."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from projects.reporting.figures import add_legend, new_figure, running_mean, style_axes
from projects.reporting.number_format import fixed
from projects.reporting.palette import GRAY, MARKERS, distinct_colors, readable_on

from ..height_classes import OVERALL
from .records import MAIN, Axis, Results, StudyRecord
from .results import finished_runs, method_titles, scores_of


def method_styles(study: StudyRecord) -> dict[str, dict[str, str]]:
    """Return colour and marker of each method, the same in every chart; what is not trained is gray.

    No other colour repeats; markers do after 11.
    """
    trained = [method.name for method in study.methods if method.trained]
    styles = zip(trained, distinct_colors(len(trained)), cycle(MARKERS))
    learnt = {method: {'color': color, 'marker': marker} for method, color, marker in styles}
    return {method.name: learnt.get(method.name, {'color': GRAY, 'marker': ''}) for method in study.methods}


def draw_bars(results: Results) -> Figure | None:
    """Draw F1 of the main comparison: a group of bars per height class, std as error bars, replicates as dots.

    Returns:
        The figure, or None if no run has scores.
    """
    study, runs = results.study, results.runs
    titles, styles = method_titles(study), method_styles(study)
    scores = {
        method: {name: list(scores_of(runs, MAIN, method, name).values()) for name in results.classes}
        for method in titles
    }
    shown = [method for method in titles if any(scores[method].values())]
    classes = [name for name in results.classes if any(scores[method][name] for method in shown)]
    if not shown or not classes:
        return None
    figure = new_figure(max(7.0, 2.2 * len(classes)), 4.6)
    axes = figure.add_subplot(ylabel='F1, %', ylim=(0, 100))
    width = 0.84 / len(shown)
    for index, method in enumerate(shown):
        for position, name in enumerate(classes):
            values = scores[method][name]
            if not values:
                continue
            x = position + (index - (len(shown) - 1) / 2) * width
            std = float(np.std(values, ddof=1)) if len(values) > 1 else None
            color = styles[method]['color']
            axes.bar(x, np.mean(values), 0.92 * width, yerr=std, color=color, capsize=2.5, error_kw={'lw': 1})
            spread = np.linspace(-0.22, 0.22, len(values)) * width if len(values) > 1 else [0.0]
            axes.plot(x + np.asarray(spread), values, 'o', ms=3, mfc='white', mec='black', mew=0.6, ls='none', zorder=3)
            font = {'size': 7.5, 'weight': 'bold', 'color': readable_on(color)}
            axes.text(x, 2, fixed(float(np.mean(values))), font, rotation=90, ha='center', va='bottom')
    axes.set_xticks(range(len(classes)), classes)
    axes.tick_params(axis='x', length=0)
    style_axes(axes, 'y')
    patches = [axes.bar(0, 0, color=styles[method]['color'], label=titles[method]) for method in shown]
    add_legend(figure, patches)
    return figure


def draw_learning_curves(results: Results) -> Figure | None:
    """Draw F1 and training loss of the main comparison by iteration: mean over replicates, band of ± 1 std.

    Returns:
        The figure, or None if no run has recorded any.
    """
    study = results.study
    titles, styles = method_titles(study), method_styles(study)
    figure = new_figure(12, 4.4)
    score_axes = figure.add_subplot(1, 2, 1, xlabel='iteration', ylabel='F1, %', title='F1 on the validation tiles')
    loss_axes = figure.add_subplot(1, 2, 2, xlabel='iteration', ylabel='loss', title='training loss, smoothed')
    for method in titles:
        finished = finished_runs(results.runs, MAIN, method).values()
        curves = [{i: f1 for i, f1 in run.f1_curve.items() if f1 is not None} for run in finished]
        losses = [_smooth(run.loss_curve) for run in finished]
        _draw_band(score_axes, curves, titles[method], styles[method])
        _draw_band(loss_axes, losses, titles[method], {'color': styles[method]['color']})
    if not score_axes.lines and not loss_axes.lines:
        return None
    for axes in (score_axes, loss_axes):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        style_axes(axes)
    labeled = score_axes if score_axes.lines else loss_axes
    add_legend(figure, labeled.get_legend_handles_labels()[0])
    return figure


def draw_axis(results: Results, axis: Axis) -> Figure | None:
    """Draw F1 along an axis: overall, then each height class, band of ± 1 standard deviation over its replicates.

    What does not change along the axis, as a method without the source where the source changes, is a level line, of
    the same replicates.

    Returns:
        The figure, or None if no run of the axis has finished.
    """
    study, runs = results.study, results.runs
    styles, titles = method_styles(study), method_titles(study)
    if not any(finished_runs(runs, setting, m) for _, setting in axis.points if setting != MAIN for m in titles):
        return None
    series = {name: {m: axis_scores(results, axis, m, name) for m in titles} for name in results.classes}
    classes = [name for name in series if any(any(by_value.values()) for by_value in series[name].values())]
    columns = min(3, len(classes))
    rows = -(-len(classes) // columns)
    figure = new_figure(4.2 * columns, 3.4 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(classes) :]:
        axes.set_visible(False)
    values = [value for value, _ in axis.points]
    for axes, name in zip(grid.flat, classes, strict=False):
        for method, by_value in series[name].items():
            style = styles[method] if varies(axis, results, method) else {**styles[method], 'ls': '--'}
            _draw_band(axes, _transposed(by_value), titles[method], style)
        if axis.log:
            axes.set_xscale('log')
            axes.minorticks_off()
        label = f'{axis.title}, {axis.unit}' if axis.unit else axis.title
        axes.set(title=name, xlabel=label, ylabel='F1, %')
        axes.set_xticks(values, [f'{value:g}' for value in values])
        axes.tick_params(labelbottom=True, labelleft=True)
        style_axes(axes)
    handles = {label: line for axes in grid.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    add_legend(figure, list(handles.values()))
    return figure


def axis_scores(
    results: Results, axis: Axis, method: str, height_class: str = OVERALL
) -> dict[float, dict[int, float]]:
    """F1 of a method by value of an axis and replicate, of the replicates that the axis has.

    Where the method is not trained anew for what differs, the main comparison stands for every value; where it is, but
    was left out of the axis, there is only the value that the main comparison has.
    """
    found = {}
    for value, setting in axis.points:
        stands = setting if varies(axis, results, method) else MAIN
        scores = scores_of(results.runs, stands, method, height_class)
        found[value] = {replicate: score for replicate, score in scores.items() if replicate < axis.replicates}
    return found


def varies(axis: Axis, results: Results, method: str) -> bool:
    """Whether anything that a method learns from, or is scored on, differs along an axis."""
    learns_from = next(each.learns_from for each in results.study.methods if each.name == method)
    return bool({'test', *learns_from} & set(axis.changes))


def _transposed(by_value: Mapping[float, Mapping[int, float]]) -> list[dict[float, float]]:
    """Turn {replicate: score} per value into {value: score} per replicate."""
    replicates = dict.fromkeys(replicate for scores in by_value.values() for replicate in scores)
    return [{v: scores[r] for v, scores in by_value.items() if r in scores} for r in replicates]


def _draw_band(axes: Axes, curves: Sequence[Mapping[Any, float]], label: str, style: Mapping[str, Any]) -> None:
    """Draw the mean of curves {x: y} over those that have a value at x, and a band of ± 1 sample std where two do."""
    xs = sorted({x for curve in curves for x in curve})
    if not xs:
        return
    values = [[curve[x] for curve in curves if x in curve] for x in xs]
    mean = np.array([np.mean(each) for each in values])
    std = np.array([np.std(each, ddof=1) if len(each) > 1 else np.nan for each in values])
    (line,) = axes.plot(xs, mean, label=label, lw=1.6, ms=4, **style)
    if len(xs) > 50:
        line.set_marker('')
    axes.fill_between(xs, mean - std, mean + std, color=style['color'], alpha=0.15, lw=0)


def _smooth(loss: Sequence[Sequence[float]]) -> dict[float, float]:
    """Return the running mean over 5 % of the values, by iteration."""
    if not loss:
        return {}
    iterations, values = np.asarray(loss, dtype=float).T
    smooth = running_mean(values, len(values) // 20)
    return dict(zip(iterations[-len(smooth) :], smooth, strict=True))
