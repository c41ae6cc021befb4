"""The table of quantisers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ..inference_graphs.images import ImageGraph
from .observation import Observed
from .output_search import OutputSearch, cosine_error, evenly, weighted_error
from .ranges import least_error_ranges, whole_ranges
from .reparametrization import equalize_normalized
from .units import Grids, Unit

EXECUTABLE, PAPER = 'executable', 'paper'


@dataclass(frozen=True)
class Method:
    """A way to choose grids. All methods see the same sites, bits, images and what is kept in float.

    Attributes:
        name: On the command line.
        about: What it does, in a line.
        paper: Where it comes from.
        search: From a unit to its grids.
        prepare: What it changes of a network before, in place, without changing what that computes.
        needs_gradients: Whether it weighs errors by the network's curvature.
        forms: What there is of it: 'executable' by integer kernels, 'paper' as published, in simulation alone.
    """

    name: str
    about: str
    paper: str
    search: Callable[[Unit], Grids]
    prepare: Callable[[ImageGraph, Mapping[str, Observed], Tensor, int], object] | None = None
    needs_gradients: bool = False
    forms: tuple[str, ...] = (EXECUTABLE,)


EASYQUANT = OutputSearch(cosine_error, evenly(0.5, 2.0, 16), rounds=3, by_channel=False, symmetric=True)
PTQ4VIT = OutputSearch(weighted_error, evenly(0.3, 1.15, 18), rounds=2, symmetric=True, biases=True)
QHYVIT = OutputSearch(weighted_error, evenly(0.3, 1.15, 18), rounds=2, schemes=True, channelwise=True, bridges=True)

METHODS = {
    method.name: method
    for method in (
        Method('minmax', 'the whole range that was seen', '', whole_ranges),
        Method('mse', 'the range that rounds values with the least squared error', '', least_error_ranges),
        Method('easyquant', 'symmetric scales that keep the cosine of outputs', 'arXiv 2006.16669', EASYQUANT),
        Method(
            'ptq4vit',
            'symmetric scales by weighted errors of outputs; biases corrected',
            'arXiv 2111.12293',
            PTQ4VIT,
            needs_gradients=True,
        ),
        Method(
            'repqvit',
            'normalised channels brought to one range that the next layer undoes; then as mse',
            'arXiv 2212.08254',
            least_error_ranges,
            prepare=equalize_normalized,
        ),
        Method(
            'qhyvit',
            'scale, symmetry and granularity by weighted errors, in bridge blocks by those of the tokens',
            'arXiv 2303.12557',
            QHYVIT,
            needs_gradients=True,
        ),
    )
}
