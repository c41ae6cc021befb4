"""What is quantised how: call sites, and all of a network together."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from .grids import AnyGrid, Grid, grid_from

CONV, DEPTHWISE, TRANSPOSED, LINEAR, MATMUL = 'conv', 'depthwise conv', 'transposed conv', 'linear', 'matmul'
NORM = 'layer norm'  # what it reads; rounded in simulations of FQ-ViT alone
EXECUTABLE, PAPER = 'executable', 'paper'  # forms


@dataclass(frozen=True)
class Site:
    """One call of a convolution, linear layer or matrix product, in simulations of FQ-ViT of a layer normalisation.

    A layer that heads share between levels is one module with a site per level, each with a range of its own.

    Attributes:
        name: Path of the module that calls, '#', and the number of the call within one run of the network.
        kind: 'conv', 'depthwise conv', 'transposed conv', 'linear', 'matmul' of two activations, or 'layer norm'.
        weight: Name of the parameter, which other sites may share; None for products of two activations.
        macs: Multiply-adds for one image.
        operands: Shapes of the activations that it read, of one image.
        groups: Of a convolution.
        bias: Name of the parameter that is added, or None.
    """

    name: str
    kind: str
    weight: str | None
    macs: int
    operands: tuple[tuple[int, ...], ...]
    groups: int = 1
    bias: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Keys of its activations in `Scheme.inputs`."""
        return tuple(f'{self.name}:{index}' for index in range(len(self.operands)))


@dataclass(frozen=True)
class Scheme:
    """All of a network's quantisation.

    Attributes:
        method: A key of `METHODS`.
        bits: Of weights and activations; the first convolution has 8.
        form: 'executable' by integer kernels, or 'paper': as published, in simulation alone.
        sites: In the order of their first calls.
        inputs: Grids of activations; the key is 'SITE:0', or 'SITE:1' for the second factor of a matrix product.
        weights: Grids of parameters.
        kept_in_float: Why a site is not quantised.
        unknown: Multiply-adds for one image of operators that nothing is known of; they stay in float.
    """

    method: str
    bits: int
    form: str
    sites: tuple[Site, ...]
    inputs: dict[str, AnyGrid] = field(default_factory=dict)
    weights: dict[str, Grid] = field(default_factory=dict)
    kept_in_float: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For people; it says what is a simulation."""
        return f'{self.method}, {self.bits} bits' + ", in its paper's form, a simulation" * (self.form == PAPER)

    @property
    def weight_bits(self) -> int:
        """Of the grids of weights, the finest."""
        return max(((grid.high - grid.low).bit_length() for grid in self.weights.values()), default=self.bits)

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> 'Scheme':
        """Read what `to_json` wrote."""
        given: dict[str, Any] = json.loads(text)
        sites = tuple(Site(**{**site, 'operands': tuple(map(tuple, site['operands']))}) for site in given['sites'])
        inputs = {name: grid_from(grid) for name, grid in given['inputs'].items()}
        weights = {name: Grid(**grid) for name, grid in given['weights'].items()}
        return cls(**{**given, 'sites': sites, 'inputs': inputs, 'weights': weights})
