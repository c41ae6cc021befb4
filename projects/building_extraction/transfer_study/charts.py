"""The study's charts: F1 per height class, learning curves, F1 against the source's off-nadir angle."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .results import (
    angle_domains,
    finished_runs,
    main_domain,
    method_titles,
    scores_by_seed,
    source_domains,
    uses_source,
    write_atomically,
)

# Okabe and Ito, Color Universal Design (https://jfly.uni-koeln.de/color/), without its yellow, too faint for lines.
PALETTE = ('#0072B2', '#E69F00', '#009E73', '#D55E00', '#CC79A7', '#56B4E9', '#000000')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', '*', 'h')
DOTS_PER_INCH = 110


def distinct_colours(number: int) -> list[str]:
    """Return that many colours, none twice: those of `PALETTE`, then always the one least like all before it.

    Likeness is the distance in CIELAB (CIE 15, with D65), of colours neither too faint nor too dark to tell on white.
    """
    candidates = np.stack(np.meshgrid(*[np.linspace(0, 1, 11)] * 3), axis=-1).reshape(-1, 3)
    places = _cielab(candidates)
    is_clear = (places[:, 0] > 15) & (places[:, 0] < 75)
    candidates, places = candidates[is_clear], places[is_clear]
    distances = np.full(len(places), np.inf)
    for colour in _cielab(np.array([to_rgb(colour) for colour in PALETTE])):
        distances = np.minimum(distances, np.linalg.norm(places - colour, axis=1))
    colours = list(PALETTE[:number])
    while len(colours) < number:
        farthest = int(distances.argmax())
        colours.append(to_hex(candidates[farthest]))
        distances = np.minimum(distances, np.linalg.norm(places - places[farthest], axis=1))
    return colours


def _cielab(colours: np.ndarray) -> np.ndarray:
    """Turn sRGB from 0 to 1, shape (N, 3), into L*, a*, b*."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratios = linear @ to_xyz.T / (0.9505, 1.0, 1.089)
    x, y, z = np.where(ratios > 216 / 24389, np.cbrt(ratios), (24389 / 27 * ratios + 16) / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def method_styles(study: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return colour and marker of each method, the same in every chart; no colour repeats, markers do after 11."""
    methods = list(method_titles(study))
    return {
        method: {'color': colour, 'marker': MARKERS[index % len(MARKERS)]}
        for index, (method, colour) in enumerate(zip(methods, distinct_colours(len(methods)), strict=True))
    }


def draw_bars(results: dict[str, Any]) -> Figure | None:
    """Draw F1 on the main domain: a group of bars per height class, std as error bars, seeds as dots.

    Returns:
        The figure, or None if no run has scores.
    """
    study, runs = results['study'], results['runs']
    titles, domain, styles = method_titles(study), main_domain(study), method_styles(study)
    scores = {
        method: {name: list(scores_by_seed(runs, domain, method, name).values()) for name in results['classes']}
        for method in titles
    }
    shown = [method for method in titles if any(scores[method].values())]
    classes = [name for name in results['classes'] if any(scores[method][name] for method in shown)]
    if not shown or not classes:
        return None
    figure = Figure(figsize=(max(7.0, 2.2 * len(classes)), 4.6), dpi=DOTS_PER_INCH, layout='constrained')
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
            axes.annotate(
                f'{np.mean(values):.1f}',
                (x, 2),
                rotation=90,
                ha='center',
                va='bottom',
                fontsize=7.5,
                color='black' if np.mean(to_rgb(color)) > 0.5 else 'white',
                fontweight='bold',
            )
    axes.set_xticks(range(len(classes)), classes)
    axes.tick_params(axis='x', length=0)
    axes.grid(axis='y', alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    patches = [axes.bar(0, 0, color=styles[method]['color'], label=titles[method]) for method in shown]
    figure.legend(handles=patches, loc='outside upper center', ncols=min(len(shown), 8), frameon=False)
    return figure


def draw_learning_curves(results: dict[str, Any]) -> Figure | None:
    """Draw F1 and the training loss against the iteration on the main domain: mean over seeds, band of ± 1 std.

    Returns:
        The figure, or None if no run has recorded any.
    """
    study = results['study']
    titles, domain, styles = method_titles(study), main_domain(study), method_styles(study)
    figure = Figure(figsize=(12, 4.4), dpi=DOTS_PER_INCH, layout='constrained')
    score_axes = figure.add_subplot(1, 2, 1, xlabel='iteration', ylabel='F1, %', title='F1 on the validation tiles')
    loss_axes = figure.add_subplot(1, 2, 2, xlabel='iteration', ylabel='loss', title='training loss, smoothed')
    for method in titles:
        finished = finished_runs(results['runs'], domain, method).values()
        curves = [{p['iteration']: p['f1'] for p in run.get('f1_curve', []) if p['f1'] is not None} for run in finished]
        losses = [_smooth(run.get('loss_curve', [])) for run in finished]
        _draw_band(score_axes, curves, titles[method], styles[method])
        _draw_band(loss_axes, losses, titles[method], {'color': styles[method]['color']})
    if not score_axes.lines and not loss_axes.lines:
        return None
    for axes in (score_axes, loss_axes):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _finish(axes)
    labelled = score_axes if score_axes.lines else loss_axes
    figure.legend(*labelled.get_legend_handles_labels(), loc='outside upper center', ncols=8, frameon=False)
    return figure


def draw_angles(results: dict[str, Any]) -> Figure | None:
    """Draw F1 against the source's off-nadir angle: overall, then each height class, band of ± 1 std over seeds.

    A method that uses no source is a level line.

    Returns:
        The figure, or None if no run of an angle has finished.
    """
    study, runs = results['study'], results['runs']
    angles_deg, titles, styles = angle_domains(study), method_titles(study), method_styles(study)
    series = {
        name: {
            method: [scores_by_seed(runs, d, method, name) for d in source_domains(study, method, angles_deg)]
            for method in titles
        }
        for name in results['classes']
    }
    classes = [name for name in series if any(any(values) for values in series[name].values())]
    if not any(finished_runs(runs, domain, method) for domain in angles_deg for method in titles) or not classes:
        return None
    columns = min(3, len(classes))
    rows = -(-len(classes) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows + 0.5), dpi=DOTS_PER_INCH, layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(classes) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, classes, strict=False):
        for method, by_angle in series[name].items():
            curves = _transposed(by_angle, list(angles_deg.values()))
            style = styles[method] if uses_source(study, method) else {**styles[method], 'ls': '--'}
            _draw_band(axes, curves, titles[method], style)
        axes.set(
            title=name, xlabel='off-nadir angle of the source, °', ylabel='F1, %', xticks=list(angles_deg.values())
        )
        axes.tick_params(labelbottom=True, labelleft=True)
        _finish(axes)
    handles = {label: line for axes in grid.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc='outside upper center', ncols=8, frameon=False)
    return figure


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    write_atomically(path, png(figure))


def _transposed(by_angle: Sequence[Mapping[int, float]], angles_deg: Sequence[float]) -> list[dict[float, float]]:
    """Turn {seed: score} per angle into {angle: score} per seed."""
    seeds = dict.fromkeys(seed for scores in by_angle for seed in scores)
    return [
        {a: scores[seed] for a, scores in zip(angles_deg, by_angle, strict=True) if seed in scores} for seed in seeds
    ]


def _draw_band(axes: Axes, curves: Sequence[Mapping[float, float]], label: str, style: Mapping[str, Any]) -> None:
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
    window = max(len(values) // 20, 1)
    smooth = np.convolve(values, np.full(window, 1 / window), mode='valid')
    return dict(zip(iterations[window - 1 :], smooth, strict=True))


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
