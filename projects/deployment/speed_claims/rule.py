"""When a claim about speed holds."""

from dataclasses import dataclass
from typing import Any

HOLDS, LESS, SLOWER = 'holds', 'less', 'slower'


@dataclass(frozen=True)
class Network:
    """A network of a claim.

    Attributes:
        name: As it is shown.
        source: See `open_subject`; or a model for a registry, as configs have it.
        side: Height and width of its images, in pixels.
    """

    name: str
    source: str | dict[str, Any]
    side: int = 224

    @property
    def label(self) -> str:
        """Name and image size."""
        return f'{self.name} @{self.side}'


@dataclass(frozen=True)
class Claim:
    """One network is said to be faster than another.

    Attributes:
        paper: Whose claim it is.
        place: Where it stands, and how the ratio follows from what stands there.
        faster: The network that is said to be faster.
        slower: The other one.
        ratios: How many times as fast, by device: 'CPU' and 'ONNX' (on a processor) are compared with ours, and
            where neither is given, the first.
        note: What one must know of the comparison.
    """

    paper: str
    place: str
    faster: Network
    slower: Network
    ratios: dict[str, float]
    note: str = ''

    @property
    def title(self) -> str:
        """Both networks."""
        return f'{self.faster.label} vs {self.slower.label}'

    def device_for(self, runtime: str) -> str:
        """Return the device whose figure a measurement in a runtime on a processor is compared with."""
        wanted = ('ONNX', 'CPU') if runtime == 'onnxruntime' else ('CPU',)
        return next((device for device in wanted if device in self.ratios), next(iter(self.ratios)))

    def verdict(self, runtime: str, measured: float) -> str:
        """Judge a measured ratio: at least as claimed `HOLDS`, at least 1 `LESS`, below 1 `SLOWER`.

        A claim of equal speed (1) holds from 0.95, as printed digits are rounded.
        """
        claimed = self.ratios[self.device_for(runtime)]
        if measured >= (claimed if claimed != 1 else 0.95):
            return HOLDS
        return LESS if measured >= 1 else SLOWER


@dataclass(frozen=True)
class Unmeasured:
    """A claim that cannot be measured here.

    Attributes:
        paper: Whose claim it is.
        claim: What it says.
        reason: Why not.
    """

    paper: str
    claim: str
    reason: str
