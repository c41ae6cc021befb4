"""A row for every site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects.reporting.tables import Table

from .execution import int8_share, site_executions
from .fidelity import site_sqnr_db
from .grids import AnyGrid, Grid
from .quantized_graph import QuantizedGraph
from .scheme import Scheme

MEASURED_ON = 4  # images


@dataclass(frozen=True)
class QuantizationReport:
    """What was rounded how, and what it came to.

    Attributes:
        scheme: Of the network.
        images: Number of images that it was calibrated on.
        sqnr_db: See `site_sqnr_db`.
        executions: See `site_executions`.
        int8_share: Of the multiply-adds.
    """

    scheme: Scheme
    images: int
    sqnr_db: Mapping[str, float]
    executions: Mapping[str, str]
    int8_share: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        scheme = self.scheme
        return {
            'method': scheme.method,
            'bits': scheme.bits,
            'weight_bits': scheme.weight_bits,
            'form': scheme.form,
            'calibration_images': self.images,
            'int8_share': self.int8_share,
            'kept_in_float': scheme.kept_in_float,
            'unknown': scheme.unknown,
            'sites': site_rows(scheme, self.sqnr_db, self.executions),
        }

    def table(self) -> Table:
        """A row per site."""
        return site_table(self.scheme, self.sqnr_db, self.executions)

    def __str__(self) -> str:
        scheme = self.scheme
        parts = [
            f'{scheme.title}, calibrated on {self.images} images',
            f'{self.int8_share:.1%} of the multiply-adds run in int8 in OpenVINO on this processor',
        ]
        if scheme.bits < 8:
            parts.append(f'{scheme.bits} bits are coarser grids in the kernels of 8, no faster')
        elif scheme.weight_bits < 8:
            parts.append(f'weights have {scheme.weight_bits} bits, whose sums saturate on no processor')
        if scheme.kept_in_float:
            parts.append(f'{len(scheme.kept_in_float)} of {len(scheme.sites)} sites kept in float')
        parts += [f'{name}, which is not known, in float: {macs:,} MACs' for name, macs in scheme.unknown.items()]
        return '; '.join(parts)


def describe_quantization(quantized: QuantizedGraph, path: Path, batches: Sequence[np.ndarray]) -> QuantizationReport:
    """Measure what a file's rounding comes to.

    Args:
        quantized: What was written.
        path: The file.
        batches: That it was calibrated on; signal-to-noise ratios are those of the first images.
    """
    executions = site_executions(quantized.scheme, path)
    return QuantizationReport(
        quantized.scheme,
        sum(map(len, batches)),
        site_sqnr_db(quantized, batches[:MEASURED_ON]),
        executions,
        int8_share(quantized.scheme, executions),
    )


def site_rows(scheme: Scheme, sqnr_db: Mapping[str, float], executions: Mapping[str, str]) -> list[dict[str, Any]]:
    """What is known of each site, for JSON.

    Args:
        scheme: Of the network.
        sqnr_db: From `site_sqnr_db`.
        executions: From `site_executions`.
    """
    return [
        {
            'site': site.name,
            'kind': site.kind,
            'macs': site.macs,
            'grids': [_brief(scheme.inputs.get(key)) for key in site.inputs],
            'sqnr_db': sqnr_db.get(site.name),
            'runs_in': executions.get(site.name),
            'kept_in_float': scheme.kept_in_float.get(site.name),
        }
        for site in scheme.sites
    ]


def site_table(scheme: Scheme, sqnr_db: Mapping[str, float], executions: Mapping[str, str]) -> Table:
    """The same to read."""
    rows = [
        [
            row['site'],
            row['kind'],
            f'{row["macs"] / 1e6:.2f}',
            '; '.join(_text(grid) for grid in row['grids']) if not row['kept_in_float'] else row['kept_in_float'],
            '' if row['sqnr_db'] is None else f'{row["sqnr_db"]:.1f}',
            row['runs_in'] or '',
        ]
        for row in site_rows(scheme, sqnr_db, executions)
    ]
    rows += [[name, 'unknown', f'{macs / 1e6:.2f}', 'in float', '', ''] for name, macs in scheme.unknown.items()]
    return Table('', ['site', 'kind', 'MMACs', 'scale, zero point', 'SQNR (dB)', 'runs in'], rows)


def _brief(grid: AnyGrid | None) -> dict[str, Any] | None:
    if grid is None:
        return None
    if not isinstance(grid, Grid):
        return {'simulated': str(grid)}
    return {
        'scale': [min(grid.scale), max(grid.scale)] if grid.axis is not None else grid.scale[0],
        'zero_point': [min(grid.zero_point), max(grid.zero_point)] if grid.axis is not None else grid.zero_point[0],
        'levels': grid.high - grid.low + 1,
        'signed': grid.is_signed,
    }


def _text(grid: dict[str, Any] | None) -> str:
    if grid is None:
        return 'float'
    if 'simulated' in grid:
        return str(grid['simulated'])
    if isinstance(grid['scale'], list):
        scales, zeros = grid['scale'], grid['zero_point']
        return f'{scales[0]:.3g} to {scales[1]:.3g} per channel, {zeros[0]} to {zeros[1]}'
    return f'{grid["scale"]:.3g}, {grid["zero_point"]}'
