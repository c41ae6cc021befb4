"""Overlapping windows over a raster."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ...model_info import MIN_SIDE_PX


@dataclass(frozen=True)
class WindowAxis:
    """Windows along one side of a raster, evenly spread, at most two of them over each pixel's result.

    The seam between two neighbours lies in the middle of what they share. Around it, along `ramp_px`, one fades into
    the other; everywhere else the result is of one window alone, so that what a window sees least of, its border,
    counts least.

    Attributes:
        length_px: Of the raster.
        window_px: A window that is larger than the raster reaches beyond its end.
        overlap_px: At least so much is shared by neighbours.
        blend: Whether they fade into one another; if not, the seams are sharp.
    """

    length_px: int
    window_px: int
    overlap_px: int
    blend: bool = True

    @cached_property
    def starts(self) -> list[int]:
        """Where each window begins."""
        stride = self.window_px - self.overlap_px
        count = max(-(-(self.length_px - self.overlap_px) // stride), 1)
        last = max(self.length_px - self.window_px, 0)
        return [last * index // max(count - 1, 1) for index in range(count)]

    @cached_property
    def seams(self) -> list[int]:
        """0, the places where each window gives way to the next, and the raster's length."""
        inner = [(a + self.window_px + b) // 2 for a, b in pairwise(self.starts)]
        return [0, *inner, self.length_px]

    @cached_property
    def ramp_px(self) -> int:
        """Along which neighbours fade into one another: `overlap_px`, or what fits between two seams."""
        inner = np.diff(self.seams[1:-1])
        return min(self.overlap_px, int(inner.min(initial=self.overlap_px))) if self.blend else 0

    @cached_property
    def bounds(self) -> list[int]:
        """Where the finished pixels of each window begin (the ramp to its predecessor included), and the length."""
        return [0, *(seam - self.ramp_px // 2 for seam in self.seams[1:-1]), self.length_px]

    @cached_property
    def ramp(self) -> np.ndarray:
        """Weight of the later window along a ramp, a raised cosine from 0 to 1; the earlier one has the rest."""
        return (0.5 - 0.5 * np.cos(np.pi * (np.arange(self.ramp_px) + 0.5) / self.ramp_px)).astype(np.float32)

    def part(self, index: int) -> slice:
        """What a window contributes, both ramps included, in pixels of the window."""
        stop = self.length_px if index == len(self.starts) - 1 else self.bounds[index + 1] + self.ramp_px
        return slice(self.bounds[index] - self.starts[index], stop - self.starts[index])


def window_side(length_px: int, window_px: int) -> int:
    """Side of windows over a raster that may be smaller than one: the multiple of 32 that holds it is enough."""
    return min(window_px, -(-length_px // MIN_SIDE_PX) * MIN_SIDE_PX)
