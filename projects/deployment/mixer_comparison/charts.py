"""Cost curves: time against the number of tokens."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from projects.efficient_models.token_mixers import TOKEN_MIXERS
from projects.reporting.figures import add_legend, new_figure, style_axes
from projects.reporting.palette import GRAY, MARKERS, distinct_colors

from .costs import KERNELS, Cost

REFERENCE = 'softmax'


def draw_class(costs: Sequence[Cost], mixers: Sequence[str]) -> Figure | None:
    """Draw some mixers side by side, a panel for each of the kernels, softmax attention in gray.

    Args:
        costs: All that was measured.
        mixers: Those to draw.

    Returns:
        The figure; None if nothing was measured of them.
    """
    shown = [cost for cost in costs if cost.mixer in mixers]
    kernels = [name for name in KERNELS if any(cost.kernels == name for cost in shown)]
    if not kernels:
        return None
    figure = new_figure(3.1 * len(kernels) + 2.2, 3.4)
    panels = figure.subplots(1, len(kernels), sharex=True, sharey=True, squeeze=False)[0]
    handles: dict[str, Line2D] = {}
    names = [name for name in mixers if name != REFERENCE]
    looks = dict(zip(names, zip(distinct_colors(len(names)), MARKERS * 3, strict=False), strict=True))
    for axes, kernel in zip(panels, kernels, strict=True):
        _style(axes, kernel, costs)
        for name in [REFERENCE, *names]:
            color, marker = looks.get(name, (GRAY, ''))
            if line := _draw(axes, [cost for cost in costs if (cost.mixer, cost.kernels) == (name, kernel)]):
                line.set(color=color, marker=marker, markersize=4, linestyle='--' if name == REFERENCE else '-')
                line.set_label(TOKEN_MIXERS[name].mechanism.title)
                handles.setdefault(name, line)
    panels[0].set_ylabel('ms for one map')
    add_legend(figure, [*handles.values()], 'right center', 1)
    return figure


def draw_mixer(costs: Sequence[Cost], mixer: str) -> Figure | None:
    """Draw one mixer by all kernels, softmax attention by the same in gray; None if it was not measured."""
    kernels = [name for name in KERNELS if any((cost.mixer, cost.kernels) == (mixer, name) for cost in costs)]
    if not kernels:
        return None
    figure = new_figure(4.6, 2.7)
    axes = figure.subplots()
    _style(axes, '', costs)
    axes.set_ylabel('ms for one map')
    handles = []
    for kernel, color, marker in zip(kernels, distinct_colors(len(kernels)), MARKERS, strict=False):
        if mixer != REFERENCE and (
            line := _draw(axes, [cost for cost in costs if (cost.mixer, cost.kernels) == (REFERENCE, kernel)])
        ):
            line.set(color=GRAY, linestyle='--', marker=marker, markersize=3)
        if line := _draw(axes, [cost for cost in costs if (cost.mixer, cost.kernels) == (mixer, kernel)]):
            line.set(color=color, marker=marker, markersize=4, label=kernel)
            handles.append(line)
    add_legend(figure, handles, 'right center', 1)
    return figure


def _style(axes: Axes, title: str, costs: Sequence[Cost]) -> None:
    axes.set_xscale('log', base=2)
    axes.set_yscale('log')
    tokens = sorted({cost.tokens for cost in costs})
    axes.set_xticks(tokens, [f'{number:,}' for number in tokens])
    axes.set_title(title, fontsize=9, loc='left')
    axes.set_xlabel('tokens')
    axes.tick_params(labelsize=8)
    style_axes(axes)


def _draw(axes: Axes, costs: Sequence[Cost]) -> Line2D | None:
    ordered = sorted(costs, key=lambda cost: cost.tokens)
    if not ordered:
        return None
    (line,) = axes.plot([cost.tokens for cost in ordered], [cost.latency_ms.median for cost in ordered], linewidth=1.3)
    return line
