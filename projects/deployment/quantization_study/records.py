"""What a study measures, as records that travel as JSON."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Self

from ..benchmark.timing import Quartiles
from ..quantization.calibration import MIN_IMAGES
from ..quantization.methods import METHODS
from ..quantization.scheme import EXECUTABLE
from ..quantization.settings import BITS, QuantizationSettings

NNCF, FLOAT = 'nncf', 'fp32'  # beside the methods of `quantization`


@dataclass(frozen=True)
class Candidate:
    """A quantiser that takes part.

    Attributes:
        method: A key of `METHODS`, 'nncf', or 'fp32' for the network as it is.
        bits: Of weights and activations.
        form: 'executable', or 'paper': as published, in simulation alone.
        reconstruct: Whether the rounding of weights is learnt on top.

    Raises:
        ValueError: There is no such method, form or number of bits.
    """

    method: str
    bits: int = 8
    form: str = EXECUTABLE
    reconstruct: bool = False

    def __post_init__(self) -> None:
        if self.method in (NNCF, FLOAT):
            bits = 8 if self.method == NNCF else 32
            if (self.bits, self.form, self.reconstruct) != (bits, EXECUTABLE, False):
                raise ValueError(f'{self.method} has {bits} bits and one form, got {self}')
        elif self.method not in METHODS:
            raise ValueError(f'method {self.method!r}: expected one of {", ".join([NNCF, *METHODS])}')
        elif self.bits not in BITS:
            raise ValueError(f'{self.bits} bits of {self.method}: expected one of {", ".join(map(str, BITS))}')
        else:
            _ = self.settings()

    def settings(self, seed: int = 0) -> QuantizationSettings:
        """What `quantize` is told."""
        return QuantizationSettings(
            method=self.method, bits=self.bits, form=self.form, reconstruct=self.reconstruct, seed=seed
        )

    @property
    def is_executed(self) -> bool:
        """Whether a runtime computes it; else it is simulated."""
        return self.form == EXECUTABLE

    @property
    def key(self) -> str:
        """For names of files."""
        parts = [self.method, f'w{self.bits}a{self.bits}'] + ['reconstructed'] * self.reconstruct
        return '_'.join(parts + [self.form] * (not self.is_executed))

    @property
    def title(self) -> str:
        """For people."""
        if self.method == FLOAT:
            return FLOAT
        more = ' + reconstruction' * self.reconstruct + " (paper's form, simulated)" * (not self.is_executed)
        return f'{self.method} W{self.bits}A{self.bits}{more}'


@dataclass(frozen=True)
class Cell:
    """A training and a calibration set: where candidates are compared with one another.

    Attributes:
        network: Its name in the study.
        seed: Of the training.
        calibration: Number of the calibration set.
    """

    network: str
    seed: int
    calibration: int

    @property
    def key(self) -> str:
        """For names of files."""
        return f'{self.network}_seed{self.seed}_set{self.calibration}'


@dataclass(frozen=True)
class Score:
    """A score of all test images and of draws of them, in percent.

    Attributes:
        value: Of all.
        resampled: Of each draw of `resamplings`; that of one candidate pairs with that of another.
    """

    value: float
    resampled: tuple[float, ...] = ()


@dataclass(frozen=True)
class Details:
    """What is measured of a candidate in the first cell of a network alone.

    Attributes:
        int8_share: Share of the multiply-adds that the compiled graph computes in int8.
        file_bytes: Of the OpenVINO files.
        runtime_difference: Of the runtime's head outputs from the simulation's, relative to their mean size.
        floor: What rounding noise of 1e-6 after convolutions does to the simulation's, likewise.
    """

    int8_share: float | None = None
    file_bytes: int | None = None
    runtime_difference: float | None = None
    floor: float | None = None


@dataclass(frozen=True)
class Measurement:
    """A candidate in a cell.

    Attributes:
        cell: Where.
        candidate: What.
        fidelity: To the network in float: AP against its own boxes, or equal pixels.
        label: Box AP or mIoU against the labels.
        sqnr_db: Signal-to-noise ratio of each head output and 'all', in decibels; empty where heads cannot be seen.
        search_s: Seconds of the calibration.
        details: Of the first cell.
        made_with: Digests of what it follows from.
    """

    cell: Cell
    candidate: Candidate
    fidelity: Score
    label: Score
    sqnr_db: dict[str, float] = field(default_factory=dict)
    search_s: float = 0.0
    details: Details | None = None
    made_with: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """For names of files."""
        return f'{self.cell.key}_{self.candidate.key}'

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        given = json.loads(text)
        scores = {name: Score(given[name]['value'], tuple(given[name]['resampled'])) for name in ('fidelity', 'label')}
        details = given['details'] and Details(**given['details'])
        parts = {'cell': Cell(**given['cell']), 'candidate': Candidate(**given['candidate']), 'details': details}
        return cls(**{**given, **scores, **parts})


@dataclass(frozen=True)
class Latency:
    """Times of a network's candidates in turns on one image.

    Attributes:
        network: Its name.
        image_size: Height and width in pixels.
        processor: What ran.
        threads: Of it.
        quartiles_ms: Low, median and high of the rounds, by the key of the candidate.
    """

    network: str
    image_size: tuple[int, int]
    processor: str
    threads: int
    quartiles_ms: dict[str, Quartiles]

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        given = json.loads(text)
        quartiles = {key: Quartiles(*values) for key, values in given['quartiles_ms'].items()}
        return cls(**{**given, 'image_size': tuple(given['image_size']), 'quartiles_ms': quartiles})


def check_calibration(number: int) -> None:
    """Refuse calibration sets that no quantiser takes.

    Raises:
        ValueError: There are too few images.
    """
    if number < MIN_IMAGES:
        raise ValueError(f'calibration_images = {number}: expected {MIN_IMAGES} at least (32 are usual)')
