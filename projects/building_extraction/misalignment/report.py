"""Measured displacement of labels: as a table, for a JSON file, and as a picture."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from projects.reporting.figures import new_figure, style_axes, write_figure
from projects.reporting.number_format import finite_or_none, fixed, with_spread
from projects.reporting.palette import VERMILLION
from projects.reporting.tables import Table

from ..height_classes import HeightClasses
from .lean import Trend, lean_obstacle
from .measurement import Misalignment

MAX_ARROWS = 4000


def summary(result: Misalignment, classes: HeightClasses) -> dict[str, Any]:
    """All that was measured, as JSON can hold it; `_95` are half widths of intervals of 95 %, or intervals."""
    trend, lean, spread = result.trend, result.lean, result.spread
    return {
        'unit': 'metres on the ground; label minus reference; east and north positive; rotation counter-clockwise',
        'gsd_m': result.gsd_m,
        'notes': result.notes,
        'common_shift_m': result.common_shift_m.tolist(),
        'classes': result.statistics(classes),
        'trend': trend
        and {
            'shift_m': list(trend.shift_m),
            'shift_95_m': finite_or_none(trend.shift_95_m),
            'includes_lean': trend.includes_lean,
            'rotation_deg': trend.rotation_deg if trend.includes_rotation else None,
            'rotation_95_deg': finite_or_none(float(np.degrees(trend.scale_95))) if trend.includes_rotation else None,
            'scale': trend.scale if trend.includes_rotation else None,
            'scale_95': finite_or_none(trend.scale_95) if trend.includes_rotation else None,
            **_support(trend),
        },
        'lean': lean
        and {
            'shift_m': list(lean.shift_m),
            'slope_m_per_m': list(lean.slope),
            'slope_95_m_per_m': lean.slope_95,
            'off_nadir_deg': lean.off_nadir_deg,
            'off_nadir_95_deg': list(lean.off_nadir_95_deg),
            'azimuth_deg': lean.azimuth_deg,
            'azimuth_95_deg': lean.azimuth_95_deg,
            'is_significant': lean.has_lean,
            **_support(lean),
        },
        'spread': spread
        and {'azimuth_deg': spread.azimuth_deg, 'inliers': spread.followers, 'considered': spread.considered},
    }


def _support(trend: Trend) -> dict[str, float]:
    return {
        'inliers': trend.followers,
        'considered': trend.considered,
        'inlier_share': trend.inlier_share,
        'rms_m': trend.rms_m,
    }


def as_text(result: Misalignment, classes: HeightClasses) -> str:
    """A table per height class, and the view that the displacement implies."""
    rows = []
    for name, row in result.statistics(classes).items():
        if not row['labels']:
            continue
        means, lengths, median_px = '', [''] * 3, ''
        if row['matched']:
            lengths = [fixed(row[f'{kind}_m'], 2) for kind in ('median', 'mean', 'p90')]
            widths_m = row.get('mean_95_m', (np.inf, np.inf))
            axes = zip(('east', 'north'), widths_m, strict=True)
            means = ', '.join(with_spread(row[f'mean_{axis}_m'], width_m, 2) for axis, width_m in axes)
            median_px = fixed(row['median_px'])
        rows.append([name, str(row['labels']), f'{row["unmatched_share"]:.1%}', *lengths, means, median_px])
    columns = ['', 'labels', 'unmatched', 'median m', 'mean m', 'p90 m', 'mean east, north m', 'median px']
    notes = [f'NOTE: {note}' for note in result.notes]
    return '\n'.join([*notes, Table('', columns, rows, numeric=columns[1:]).text(ruled=False), *describe(result)])


def describe(result: Misalignment) -> list[str]:
    """What the displacements have in common, each with its interval and the labels behind it; and what is not known."""
    trend, spread = result.trend, result.spread
    if spread is not None:
        return [
            f'growth with height: not determined, since heights are unknown; the displacements spread along '
            f'{spread.azimuth_deg:.0f}° and {spread.azimuth_deg + 180:.0f}°, as a lean makes them: '
            f'{spread.followers} of {spread.considered} matched labels lie within {spread.tolerance_m:.1f} m of that '
            'line. The shift along it is not determined either, and unmatched labels may be the most displaced '
            '(--height-column)'
        ]
    if trend is None:
        return []
    matched_heights_m = result.heights_m[np.isfinite(result.offsets_m[:, 0])]
    obstacle = lean_obstacle(matched_heights_m)
    east, north = (with_spread(shift_m, trend.shift_95_m, 2) for shift_m in trend.shift_m)
    where = ', at height 0' if trend.includes_lean else ''
    kind = 'matched labels of known height' if trend.includes_lean else 'matched labels'
    lines = [
        f'shift: {east} m east, {north} m north{where}; {trend.followers} of {trend.considered} {kind} follow all of '
        f'this, within {trend.rms_m:.2f} m (rms)'
    ]
    if trend.includes_rotation:
        rotation = with_spread(trend.rotation_deg, float(np.degrees(trend.scale_95)), 3)
        scale = with_spread(trend.scale, trend.scale_95, 5)
        found = '' if trend.has_rotation else 'none found; '
        lines.append(f'rotation and scale: {found}{rotation}° counter-clockwise, {scale} times')
    else:
        lines.append('rotation and scale: not determined, too few matched labels')
    return [*lines, _describe_lean(trend, obstacle)]


def _describe_lean(trend: Trend, obstacle: str) -> str:
    if not trend.includes_lean:
        return f'growth with height: not determined; {obstacle}'
    low_deg, high_deg = trend.off_nadir_95_deg
    if not trend.has_lean:
        return f'growth with height: none found; less than {high_deg:.2f}° off nadir if any'
    return (
        f'growth with height: {with_spread(np.hypot(*trend.slope), trend.slope_95, 4)} m per m towards '
        f'{with_spread(trend.azimuth_deg, trend.azimuth_95_deg, 1)}°, as seen {trend.off_nadir_deg:.2f}° off nadir '
        f'({low_deg:.2f} to {high_deg:.2f})'
    )


def write_picture(result: Misalignment, classes: HeightClasses, path: Path) -> None:
    """Write a map of arrows from the reference to the label, histograms of the length per class, and length by height.

    Args:
        result: What was measured.
        classes: Height classes, which set the colours.
        path: PNG file in an existing folder; it appears complete or not at all.
    """
    figure = new_figure(16, 8)
    axes = figure.subplot_mosaic([['map', 'histogram'], ['map', 'height']], width_ratios=[1.3, 1])
    index = classes.index(result.heights_m)
    matched = np.isfinite(result.offsets_m).all(axis=1)
    lengths_m = np.linalg.norm(result.offsets_m, axis=1)
    colors = np.array(list(classes.colors.values()))
    _draw_arrows(axes['map'], result, colors[index], matched)
    bins = np.linspace(0, max(np.percentile(lengths_m[matched], 99), result.gsd_m) if matched.any() else 1, 41)
    for i, name in enumerate(classes.names_with_unknown):
        own = matched & (index == i)
        if own.any():
            label = f'{name}: {own.sum()} labels, median {np.median(lengths_m[own]):.2f} m'
            share = np.full(own.sum(), 1 / own.sum())
            step = {'histtype': 'step', 'linewidth': 2, 'color': colors[i], 'label': label}
            axes['histogram'].hist(lengths_m[own], bins.tolist(), weights=share, **step)
            axes['height'].scatter(result.heights_m[own], lengths_m[own], s=5, color=colors[i])
    axes['histogram'].set(xlabel=f'displacement in m (1 px = {result.gsd_m:.3g} m)', ylabel='share of the class')
    axes['height'].set(xlabel='height in m', ylabel='displacement in m', ylim=(0, None))
    if matched.any():
        axes['histogram'].legend()
    if not np.isfinite(result.heights_m[matched]).any():
        axes['height'].text(0.5, 0.5, 'no height is known', transform=axes['height'].transAxes, ha='center')
    if result.lean is not None:
        heights_m = np.linspace(0, np.nanmax(result.heights_m), 100)
        line = np.linalg.norm(result.lean.predict_m(np.tile(result.lean.middle_m, (100, 1)), heights_m), axis=1)
        axes['height'].plot(heights_m, line, color='black', linewidth=1)
    figure.suptitle('\n'.join([*result.notes, *describe(result)]), fontsize=9, wrap=True)
    for drawn in axes.values():
        style_axes(drawn)
    write_figure(figure, path)


def _draw_arrows(axes: Axes, result: Misalignment, colors: np.ndarray, matched: np.ndarray) -> None:
    (x, y), label = result.centers_m[~matched].T, f'{(~matched).sum()} unmatched'
    axes.scatter(x, y, marker='x', s=12, color=VERMILLION, linewidths=0.7, label=label)
    shown = np.flatnonzero(matched)
    shown = shown[:: max(len(shown) // MAX_ARROWS, 1)]
    lengths_m = np.linalg.norm(result.offsets_m[shown], axis=1)
    extent_m = np.ptp(result.centers_m, axis=0).max() if len(result.centers_m) > 1 else 1.0
    longest_m = float(np.percentile(lengths_m, 99)) if len(shown) else 1.0
    magnification = max(1.0, round(0.05 * extent_m / max(longest_m, 1e-6))) if longest_m > 1e-6 else 1.0
    ends = (*(result.centers_m[shown] - result.offsets_m[shown]).T, *(result.offsets_m[shown] * magnification).T)
    axes.quiver(*ends, color=colors[shown], angles='xy', scale_units='xy', scale=1, width=0.0015)
    axes.set_aspect('equal')
    axes.autoscale_view()
    enlarged = '' if magnification == 1 else f', drawn {magnification:g} times as long'
    axes.set(title=f'from the reference to the label{enlarged}', xlabel='m east', ylabel='m north')
    axes.legend(loc='upper right')
