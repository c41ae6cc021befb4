"""Figures of one style, drawn without a display, that appear as whole files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from projects.storage.atomic_files import write_file

DOTS_PER_INCH = 110


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a width and height in inches, which keeps texts from overlapping."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, png(figure))


def style_axes(axes: Axes, grid: str = 'both') -> None:
    """Draw faint lines along one axis ('x', 'y') or both, behind the data, and no frame on top and on the right."""
    axes.grid(axis=grid, alpha=0.3)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)


def hide_axes(axes: Axes) -> None:
    """Leave a picture, its titles and labels."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def add_legend(figure: Figure, handles: Sequence[Any], place: str = 'upper center', columns: int = 8) -> None:
    """Explain labelled handles outside of all axes, in at most so many columns."""
    loc: Any = f'outside {place}'
    figure.legend(handles=handles, loc=loc, ncols=max(min(len(handles), columns), 1), frameon=False)


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """The mean of each value and those before it, as many as the window; of the first ones, which lack some, none."""
    window = max(window, 1)
    return np.convolve(values, np.full(window, 1 / window), mode='valid')
