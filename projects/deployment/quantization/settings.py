"""What a quantisation shall be."""

import dataclasses
import json
from dataclasses import dataclass, field

from ..runtimes.processor import exact_weight_bits
from .methods import METHODS
from .scheme import EXECUTABLE

BITS = (8, 6, 4)
WEIGHT_BITS = (8, 7)


@dataclass(frozen=True)
class QuantizationSettings:
    """How to quantise.

    Attributes:
        method: A key of `METHODS`.
        bits: Of weights and activations, one of `BITS`.
        form: 'executable', or 'paper': as published, in simulation alone.
        reconstruct: Whether to learn the rounding of weights on top, by layers and by blocks.
        channelwise: Whether activations may have a grid per channel: not for ONNX Runtime.
        seed: Of what is drawn.
        weight_bits: That weights, and second factors of products, have at most, one of `WEIGHT_BITS`: what this
            processor sums exactly, unless another is to run the file.

    Raises:
        ValueError: There is no such method, form or number of bits.
    """

    method: str = 'mse'
    bits: int = 8
    form: str = EXECUTABLE
    reconstruct: bool = False
    channelwise: bool = True
    seed: int = 0
    weight_bits: int = field(default_factory=exact_weight_bits)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f'quantizer {self.method!r}: expected one of {", ".join(METHODS)}')
        if self.bits not in BITS:
            raise ValueError(f'{self.bits} bits: expected one of {", ".join(map(str, BITS))}')
        if self.weight_bits not in WEIGHT_BITS:
            raise ValueError(f'weights of {self.weight_bits} bits: expected one of {", ".join(map(str, WEIGHT_BITS))}')
        METHODS[self.method].of_form(self.form)

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> 'QuantizationSettings':
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))
