"""The table of quantisers."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ..inference_graphs.images import ImageGraph
from .observation import Observed
from .output_search import OutputSearch, cosine_error, evenly, weighted_error
from .published import fqvit_grids, repq_grids, twin_grids
from .ranges import least_error_ranges, whole_ranges
from .reparametrization import equalize_normalized
from .scheme import EXECUTABLE, PAPER
from .trio import shift_pointwise, trio_grids
from .units import Grids, Unit


@dataclass(frozen=True)
class Method:
    """A way to choose grids. All methods see the same sites, bits, images and what is kept in float.

    Attributes:
        name: On the command line.
        about: What it does, in a line.
        paper: Where it comes from.
        search: From a unit to its grids, which integer kernels execute.
        published: The same with all that the paper has and no kernel executes; None: there is no more.
        prepare: What it changes of a network before, in place, without changing what that computes.
        needs_gradients: Whether it weighs errors by the network's curvature.
        rounds_norms: Whether the paper rounds what layer normalisations read.
    """

    name: str
    about: str
    paper: str
    search: Callable[[Unit], Grids]
    prepare: Callable[[ImageGraph, Mapping[str, Observed], Tensor, int], object] | None = None
    needs_gradients: bool = False
    published: Callable[[Unit], Grids] | None = None
    rounds_norms: bool = False

    @property
    def forms(self) -> tuple[str, ...]:
        """What there is of it: 'executable' by integer kernels, 'paper' as published, in simulation alone."""
        return (EXECUTABLE,) if self.published is None else (EXECUTABLE, PAPER)

    def of_form(self, form: str) -> Callable[[Unit], Grids]:
        """The search of a form.

        Raises:
            ValueError: There is no such form.
        """
        if form not in self.forms:
            raise ValueError(f'{self.name} has no form {form!r}: expected one of {", ".join(self.forms)}')
        return self.search if form == EXECUTABLE or self.published is None else self.published


EASYQUANT = OutputSearch(cosine_error, evenly(0.5, 2.0, 16), rounds=3, by_channel=False, symmetric=True)
PTQ4VIT = OutputSearch(weighted_error, evenly(0.3, 1.15, 18), rounds=2, symmetric=True, biases=True)
QHYVIT = OutputSearch(
    weighted_error,
    evenly(0.3, 1.15, 18),
    rounds=2,
    schemes=True,
    channelwise=True,
    bridges=True,
    start=least_error_ranges,
)

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
            published=dataclasses.replace(PTQ4VIT, special=twin_grids),
        ),
        Method(
            'fqvit',
            'the whole range; in simulation logarithms of softmax and factors before layer normalisations',
            'arXiv 2111.13824',
            whole_ranges,
            published=fqvit_grids,
            rounds_norms=True,
        ),
        Method(
            'repqvit',
            'normalised channels brought to one range that the next layer undoes; then as mse',
            'arXiv 2212.08254',
            least_error_ranges,
            prepare=equalize_normalized,
            published=repq_grids,
        ),
        Method(
            'qhyvit',
            'scale, symmetry and granularity by weighted errors, in bridge blocks by those of the tokens',
            'arXiv 2303.12557',
            QHYVIT,
            needs_gradients=True,
            published=QHYVIT,  # which asks the unit what grids may be
        ),
        Method(
            'trio',
            'mse, with scales before depthwise convolutions, centered channels and columns of ReLU linear attention',
            'arXiv 2405.03882',
            trio_grids,
            prepare=shift_pointwise,
        ),
    )
}
