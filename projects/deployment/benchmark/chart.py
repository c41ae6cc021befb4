"""A benchmark's results as a picture: latency beside throughput."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from projects.reporting.figures import add_legend, new_figure, style_axes, write_figure
from projects.reporting.number_format import counted, three_digits
from projects.reporting.palette import BLUE, GRAY, GREEN, ORANGE, PURPLE, SKY

from .report import Row

COLORS = {
    'eager': GRAY,
    'traced': SKY,
    'compile': ORANGE,
    'cudagraphs': PURPLE,
    'onnxruntime': BLUE,
    'openvino': GREEN,
}
HATCHES = {'fp32': '', 'file': '', 'bf16': '////', 'fp16': '....'}
BAR, GAP = 0.8, 0.7  # heights, in rows


def draw_chart(rows: Sequence[Row], title: str) -> Figure:
    """Draw a bar for each row: left the latency of one image with its quartiles, right the best throughput.

    Args:
        rows: In their order; those of one model stand together, under its name.
        title: Above both.
    """
    positions, headings = _layout(rows)
    height = 1.3 + 0.27 * (max(positions, default=0) + 1)
    figure = new_figure(10.5, height)
    figure.suptitle(title, x=0.01, ha='left', fontsize=10)
    latency, throughput = figure.subplots(1, 2, sharey=True)
    for row, position in zip(rows, positions, strict=True):
        style = {'color': COLORS[row.case.runtime], 'hatch': HATCHES[row.case.precision], 'edgecolor': 'white'}
        if row.latency_ms is not None:
            low, median, high = row.latency_ms
            latency.barh(position, median, BAR, xerr=[[median - low], [high - median]], ecolor='#333333', **style)
            _write(latency, high, position, f'{three_digits(median)} ms')
        throughput.barh(position, row.best.throughput, BAR, **style)
        batch = f'{three_digits(row.best.throughput)} images/s, batch {row.best.batch_size}'
        _write(throughput, row.best.throughput, position, batch)
    latency.set_title('latency of one image, ms (shorter is better)', fontsize=9, loc='left')
    throughput.set_title('throughput at the best batch size, images/s (longer is better)', fontsize=9, loc='left')
    latency.set_yticks([position for position, _ in headings], [name for _, name in headings], fontsize=9)
    latency.set_ylim(max(positions, default=0) + 0.9, -0.9)
    for axes, room in ((latency, 1.22), (throughput, 1.5)):
        axes.set_xlim(0, axes.dataLim.x1 * room)
        axes.tick_params(axis='y', length=0)
        axes.tick_params(axis='x', labelsize=8)
        style_axes(axes, 'x')
        axes.spines['left'].set_visible(False)
    styles = dict.fromkeys((row.case.runtime, row.case.precision) for row in rows)
    patches = [
        Patch(facecolor=COLORS[runtime], hatch=HATCHES[precision], edgecolor='white', label=f'{runtime} {precision}')
        for runtime, precision in styles
    ]
    add_legend(figure, patches, 'lower left', 6)
    return figure


def write_chart(rows: Sequence[Row], title: str, path: Path) -> None:
    """Write the chart as PNG."""
    write_figure(draw_chart(rows, title), path)


def _layout(rows: Sequence[Row]) -> tuple[list[float], list[tuple[float, str]]]:
    """Return where each row stands, and where the name of each model."""
    positions: list[float] = []
    groups: dict[str, list[float]] = {}
    several_threads = len({row.threads for row in rows}) > 1
    last, position = None, -1.0
    for row in rows:
        name = row.case.subject
        if several_threads:
            name += f'\n{counted(row.threads, "thread")}'
        position += 1 if name == last or last is None else 1 + GAP
        last = name
        positions.append(position)
        groups.setdefault(name, []).append(position)
    return positions, [(sum(places) / len(places), name) for name, places in groups.items()]


def _write(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), (4, 0), textcoords='offset points', va='center', fontsize=8, color='#333333')
