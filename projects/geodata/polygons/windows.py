"""Parts of a predicted raster, and the regions of buildings in each."""

from dataclasses import dataclass

import numpy as np

from ..heights import LIMIT_M
from .pixel_regions import Regions, find_regions


@dataclass(frozen=True)
class PredictionWindow:
    """What is predicted for a part of a raster.

    Attributes:
        probabilities: (H, W) Probability of building, 0 to 1, or a mask of 0 and 1; NaN: no data, not building. None
            where only instances are known.
        instances: (H, W) Numbers of buildings, 0 = none, equal in all windows for one building; None: buildings are
            the regions above the threshold.
        heights_m: (H, W) Metres above ground; NaN, values up to 0 and above `LIMIT_M` are unknown. None: no heights.
        column: Left edge in the raster.
        row: Upper edge in the raster.
    """

    probabilities: np.ndarray | None
    instances: np.ndarray | None = None
    heights_m: np.ndarray | None = None
    column: int = 0
    row: int = 0

    def __post_init__(self) -> None:
        layers = {name: getattr(self, name) for name in ('probabilities', 'instances', 'heights_m')}
        shapes = {name: layer.shape for name, layer in layers.items() if layer is not None}
        if len(set(shapes.values())) != 1 or set(shapes) == {'heights_m'}:
            raise ValueError(f'expected probabilities, instances or both, and heights of the same size; got {shapes}')
        if len(self.size_px) != 2:
            raise ValueError(f'{shapes}: expected one band, (H, W)')
        if self.probabilities is not None:
            _check_probabilities(self.probabilities)
        if self.instances is not None:
            _check_instances(self.instances)

    @property
    def size_px(self) -> tuple[int, ...]:
        """Width and height."""
        layer = self.instances if self.probabilities is None else self.probabilities
        return () if layer is None else layer.shape[::-1]

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in the raster."""
        width, height = self.size_px
        return self.column, self.row, self.column + width, self.row + height


def regions_of(window: PredictionWindow, threshold: float) -> Regions:
    """Regions with the sums: pixels of known probability, probability, pixels of known height, height.

    Args:
        window: What is predicted.
        threshold: Of probabilities; where instances are given, each is a region.
    """
    values = window.instances
    if values is None:
        values = np.asarray(window.probabilities) > threshold  # false for NaN
    unknown = np.full(values.shape, np.nan, dtype=np.float32)
    probabilities = unknown if window.probabilities is None else window.probabilities
    heights_m = unknown if window.heights_m is None else window.heights_m
    scored, measured = np.isfinite(probabilities), (heights_m > 0) & (heights_m <= LIMIT_M)  # false for NaN
    layers = [scored, np.where(scored, probabilities, 0), measured, np.where(measured, heights_m, 0)]
    return find_regions(values, layers, window.column, window.row)


def _check_probabilities(probabilities: np.ndarray) -> None:
    if probabilities.dtype.kind not in 'biuf':
        raise ValueError(f'probabilities of type {probabilities.dtype}: expected real numbers, 0 to 1')
    known = probabilities[np.isfinite(probabilities)]
    low, high = known.min(initial=0), known.max(initial=0)
    if low < 0 or high > 1 or np.isinf(probabilities).any():
        raise ValueError(
            f'probabilities from {low:g} to {high:g}: expected 0 to 1; apply a sigmoid to logits, and divide masks of '
            '0 and 255 by 255'
        )


def _check_instances(instances: np.ndarray) -> None:
    low, high = instances.min(initial=0), instances.max(initial=0)
    if instances.dtype.kind not in 'iu' or low < 0 or high > np.iinfo(np.int32).max:
        raise ValueError(
            f'instances of type {instances.dtype}, from {low:g} to {high:g}: expected whole numbers from 0 (none) that '
            'fit into 32 bits'
        )
