"""What a study found, as pictures."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from projects.reporting.figures import new_figure, style_axes
from projects.reporting.palette import BLUE, GRAY, ORANGE

from .plan import Study
from .records import FLOAT, Candidate, Measurement

COLUMNS = 2
ROW_INCHES = 0.27


def draw_fidelity(study: Study, measurements: Sequence[Measurement]) -> Figure | None:
    """Fidelity of every candidate, a panel for each network: each cell a dot, the mean a line."""
    return _draw(study, measurements, 'fidelity to the network in float, %', lambda one: one.fidelity.value)


def draw_sqnr(study: Study, measurements: Sequence[Measurement]) -> Figure | None:
    """The same of the signal-to-noise ratio of the heads' outputs."""
    return _draw(study, measurements, 'SQNR of the outputs of the heads, dB', lambda one: one.sqnr_db.get('all'))


def _draw(
    study: Study, measurements: Sequence[Measurement], label: str, value: Callable[[Measurement], float | None]
) -> Figure | None:
    there = [one for one in measurements if one.candidate.method != FLOAT and value(one) is not None]
    networks = [name for name in study.networks if any(one.cell.network == name for one in there)]
    if not networks:
        return None
    keys = {one.candidate.key for one in there}
    candidates = [one for one in study.candidates() if one.key in keys]
    columns = min(COLUMNS, len(networks))
    rows = -(-len(networks) // columns)
    figure = new_figure(1.5 + 4.5 * columns, rows * (1.1 + ROW_INCHES * len(candidates)))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(networks) :]:
        axes.set_visible(False)
    for axes, network in zip(grid.flat, networks, strict=False):
        values = [
            [value(one) for one in there if one.cell.network == network and one.candidate == candidate]
            for candidate in candidates
        ]
        _draw_panel(axes, candidates, values)  # type: ignore[arg-type]
        axes.set(title=study.networks[network]['title'], xlabel=label)
    return figure


def _draw_panel(axes: Axes, candidates: Sequence[Candidate], values: Sequence[Sequence[float]]) -> None:
    places = np.arange(len(candidates))
    for place, candidate, found in zip(places, candidates, values, strict=True):
        color = BLUE if candidate.is_executed else ORANGE
        axes.plot(found, np.full(len(found), place), 'o', color=color, alpha=0.6, markersize=4)
        if found:
            axes.plot([np.mean(found)] * 2, [place - 0.3, place + 0.3], color=color, linewidth=2)
    for place in places[1:]:
        if candidates[place].method != candidates[place - 1].method:
            axes.axhline(place - 0.5, color=GRAY, linewidth=0.5, alpha=0.5)
    axes.set_yticks(places, [candidate.title for candidate in candidates])
    axes.set_ylim(len(candidates) - 0.5, -0.5)
    style_axes(axes, grid='x')
