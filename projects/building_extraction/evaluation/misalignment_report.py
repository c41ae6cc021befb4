"""Measured displacement of labels: as a table, for a JSON file, and as a picture."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from projects.atomic_files import replacing
from projects.building_extraction.evaluation.misalignment import Misalignment
from projects.building_extraction.height_classes import HeightClasses

COLOURS = ('#2b7bba', '#31a354', '#e6550d', '#8e44ad', '#888888')
MAX_ARROWS = 4000


def summary(result: Misalignment, classes: HeightClasses) -> dict[str, Any]:
    """All that was measured, as JSON can hold it: `classes`, `lean`, `common_shift_m` and `gsd_m`."""
    lean = result.lean
    return {
        'unit': 'metres on the ground; label minus reference; east and north positive',
        'gsd_m': result.gsd_m,
        'common_shift_m': result.common_shift_m.tolist(),
        'classes': result.statistics(classes),
        'lean': lean
        and {
            'shift_m': list(lean.shift_m),
            'slope_m_per_m': list(lean.slope),
            'off_nadir_deg': lean.off_nadir_deg,
            'azimuth_deg': lean.azimuth_deg,
            'inlier_share': lean.inlier_share,
            'rms_m': lean.rms_m,
        },
    }


def as_text(result: Misalignment, classes: HeightClasses) -> str:
    """A table per height class, and the view that the displacement implies."""
    lines = [
        f'{"":<16}{"labels":>8}{"unmatched":>11}{"median":>9}{"mean":>9}{"p90":>9} m   mean east, north m   median px'
    ]
    for name, row in result.statistics(classes).items():
        if not row['labels']:
            continue
        line = f'{name:<16}{row["labels"]:>8}{row["unmatched_share"]:>11.1%}'
        if row['matched']:
            line += f'{row["median_m"]:>9.2f}{row["mean_m"]:>9.2f}{row["p90_m"]:>9.2f}'
            line += f'{row["mean_east_m"]:>12.2f}, {row["mean_north_m"]:.2f}{row["median_px"]:>15.1f}'
        lines.append(line)
    lines.append(_describe_lean(result))
    return '\n'.join(lines)


def _describe_lean(result: Misalignment) -> str:
    lean = result.lean
    if lean is None:
        return 'growth with height: not fitted (too few matched buildings of different known heights)'
    east_m, north_m = lean.shift_m
    return (
        f'growth with height: {np.hypot(*lean.slope):.4f} m per m towards {lean.azimuth_deg:.1f}°, as seen '
        f'{lean.off_nadir_deg:.2f}° off nadir; besides a shift of {east_m:.2f} m east, {north_m:.2f} m north; '
        f'{lean.inlier_share:.0%} of the buildings follow, within {lean.rms_m:.2f} m (rms)'
    )


def write_picture(result: Misalignment, classes: HeightClasses, path: Path) -> None:
    """Write a map of arrows from the reference to the label, histograms of the length per class, and length by height.

    Args:
        result: What was measured.
        classes: Height classes, which set the colours.
        path: PNG file in an existing folder; it appears complete or not at all.
    """
    figure = Figure(figsize=(16, 8), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic([['map', 'histogram'], ['map', 'height']], width_ratios=[1.3, 1])
    index = classes.index(result.heights_m)
    matched = np.isfinite(result.offsets_m).all(axis=1)
    lengths_m = np.linalg.norm(result.offsets_m, axis=1)
    _draw_arrows(axes['map'], result, index, matched)
    bins = np.linspace(0, max(np.percentile(lengths_m[matched], 99), result.gsd_m) if matched.any() else 1, 41)
    for i, name in enumerate(classes.names_with_unknown):
        own = matched & (index == i)
        if own.any():
            label = f'{name}: {own.sum()} labels, median {np.median(lengths_m[own]):.2f} m'
            share = np.full(own.sum(), 1 / own.sum())
            axes['histogram'].hist(
                lengths_m[own],
                bins.tolist(),
                weights=share,
                histtype='step',
                linewidth=2,
                color=_colour(i),
                label=label,
            )
            axes['height'].scatter(result.heights_m[own], lengths_m[own], s=5, color=_colour(i))
    axes['histogram'].set(xlabel=f'displacement in m (1 px = {result.gsd_m:.3g} m)', ylabel='share of the class')
    axes['height'].set(xlabel='height in m', ylabel='displacement in m', ylim=(0, None))
    if matched.any():
        axes['histogram'].legend()
    if not np.isfinite(result.heights_m[matched]).any():
        axes['height'].text(0.5, 0.5, 'no height is known', transform=axes['height'].transAxes, ha='center')
    if result.lean is not None:
        heights_m = np.linspace(0, np.nanmax(result.heights_m), 100)
        line = np.linalg.norm(result.lean.predict_m(heights_m), axis=1)
        axes['height'].plot(heights_m, line, color='black', linewidth=1)
    figure.suptitle(_describe_lean(result), fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, format='png')


def _draw_arrows(axes: Axes, result: Misalignment, index: np.ndarray, matched: np.ndarray) -> None:
    unmatched = result.centres_m[~matched]
    axes.scatter(
        unmatched[:, 0],
        unmatched[:, 1],
        marker='x',
        s=12,
        color='red',
        linewidths=0.7,
        label=f'{len(unmatched)} unmatched',
    )
    shown = np.flatnonzero(matched)
    shown = shown[:: max(len(shown) // MAX_ARROWS, 1)]
    lengths_m = np.linalg.norm(result.offsets_m[shown], axis=1)
    extent_m = np.ptp(result.centres_m, axis=0).max() if len(result.centres_m) > 1 else 1.0
    longest_m = float(np.percentile(lengths_m, 99)) if len(shown) else 1.0
    magnification = max(1.0, round(0.05 * extent_m / max(longest_m, 1e-6))) if longest_m > 1e-6 else 1.0
    arrows = result.offsets_m[shown] * magnification
    axes.quiver(
        *(result.centres_m[shown] - result.offsets_m[shown]).T,
        *arrows.T,
        color=[_colour(i) for i in index[shown].tolist()],
        angles='xy',
        scale_units='xy',
        scale=1,
        width=0.0015,
    )
    axes.set_aspect('equal')
    axes.autoscale_view()
    enlarged = '' if magnification == 1 else f', drawn {magnification:g} times as long'
    axes.set(title=f'from the reference to the label{enlarged}', xlabel='m east', ylabel='m north')
    axes.legend(loc='upper right')


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]
