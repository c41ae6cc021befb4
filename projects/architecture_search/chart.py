"""The chart of a search: score against latency."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from projects.reporting.figures import add_legend, new_figure, style_axes
from projects.reporting.palette import BLACK, BLUE, GRAY, GREEN, ORANGE, VERMILLION

from .front import pareto_front
from .networks import Network
from .trainings import WHOLE


def draw_networks(
    networks: Sequence[Network], best: str, limit_ms: float, score: str, others: Sequence[Network] = ()
) -> Figure:
    """Draw all networks at their latency: cheap scores on the left, those after the whole training on the right.

    Args:
        networks: Of the search and made by hand; finalists and the latter are named.
        best: Digest of the best one's file; '' for none.
        limit_ms: The limit of latency.
        score: Name of what is on the vertical axes.
        others: Proposals of random search.
    """
    figure = new_figure(10.5, 4.4)
    cheap, whole = figure.subplots(1, 2)
    proposed = [network for network in networks if network.proposal_score is not None and not network.hand_made]
    _scatter(cheap, others, GRAY, 'x', 'random search', [network.proposal_score or 0 for network in others])
    _scatter(cheap, proposed, BLUE, 'o', 'proposed', [network.proposal_score or 0 for network in proposed])
    _front(cheap, proposed, [network.proposal_score or 0 for network in proposed])
    cheap.set_title('as proposed: cheap score, held-out images', fontsize=9, loc='left')
    trained = [network for network in networks if network.score_at(WHOLE) is not None]
    values = {network.candidate.deployed: network.score_at(WHOLE) or 0 for network in trained}
    for title, color, marker, chosen in (
        ('found', GREEN, 'o', [one for one in trained if not one.hand_made]),
        ('made by hand', ORANGE, 's', [one for one in trained if one.hand_made]),
        ('the best', VERMILLION, '*', [one for one in trained if one.candidate.deployed == best]),
    ):
        _scatter(whole, chosen, color, marker, title, [values[one.candidate.deployed] for one in chosen])
        if marker != '*':
            for one in [one for one in chosen if one.hand_made or one.test]:
                place = (one.latency_ms, values[one.candidate.deployed])
                whole.annotate(one.candidate.name, place, fontsize=6, xytext=(4, 3), textcoords='offset points')
    _refused(whole, [one for one in networks if one.hand_made and one not in trained])
    whole.set_title('after the whole training, held-out images', fontsize=9, loc='left')
    for axes in (cheap, whole):
        axes.axvline(limit_ms, color=BLACK, linewidth=0.8, linestyle='--')
        axes.set(xlabel='latency of the file in ms (predicted until measured)', ylabel=score)
        style_axes(axes)
    handles = {
        text: handle for axes in (cheap, whole) for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    add_legend(figure, [*handles.values()], columns=4)
    return figure


def _scatter(
    axes: Axes, networks: Sequence[Network], color: str, marker: str, title: str, scores: Sequence[float]
) -> None:
    if networks:
        size = 130 if marker == '*' else 16
        latencies = [network.latency_ms for network in networks]
        axes.scatter(latencies, scores, size, color, marker=marker, label=title, linewidths=0.8, zorder=size)


def _refused(axes: Axes, networks: Sequence[Network]) -> None:
    """Mark at the lower edge where networks stand that were not trained."""
    known = [network for network in networks if math.isfinite(network.latency_ms)]
    for height, one in enumerate(sorted(known, key=lambda one: one.latency_ms)):
        place = {'xy': (one.latency_ms, 0.03), 'xycoords': axes.get_xaxis_transform()}
        up = {'xytext': (0, 10 + 9 * (height % 5)), 'textcoords': 'offset points'}
        axes.annotate(one.candidate.name, **place, **up, fontsize=6, color=GRAY, ha='center')  # type: ignore[arg-type]
    if known:
        heights = [0.03] * len(known)
        latencies = [one.latency_ms for one in known]
        label = 'made by hand, above a limit'
        axes.scatter(latencies, heights, 16, GRAY, marker='x', label=label, transform=axes.get_xaxis_transform())
        axes.set_xlim(right=max(axes.get_xlim()[1], 1.08 * max(latencies)))


def _front(axes: Axes, networks: Sequence[Network], scores: Sequence[float]) -> None:
    pairs = [
        (network.latency_ms, score) for network, score in zip(networks, scores, strict=True) if network.is_feasible
    ]
    front = [pairs[index] for index in pareto_front(pairs)]
    if front:
        axes.step(*zip(*front, strict=True), where='post', color=BLUE, linewidth=1, label='Pareto front')
