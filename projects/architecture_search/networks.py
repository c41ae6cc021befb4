"""What is known of the networks of a search."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Self

from .candidates import Candidate


@dataclass
class Network:
    """A network, and all that was found of it; what is not known is absent.

    Attributes:
        candidate: What it is.
        indicators: `params_m`, `macs_g`, `memory_mb`, and `latency_ms` of the whole file or, before it is measured,
            as predicted.
        predicted_ms: Latency as the table of blocks predicts it.
        violated: Requirements that it does not keep: by indicator a text for people.
        failed: Why it could not be built, exported or trained.
        shared: Score with the weights of the supernet, in percent on the held-out part, as all but `test`.
        scores: By share of the recipe's length and seed.
        test: By seed, on the test set, after the whole length.
        hand_made: Whether a person made it.
    """

    candidate: Candidate
    indicators: dict[str, float] = field(default_factory=dict)
    predicted_ms: float | None = None
    violated: dict[str, str] = field(default_factory=dict)
    failed: str = ''
    shared: float | None = None
    scores: dict[float, dict[int, float]] = field(default_factory=dict)
    test: dict[int, float] = field(default_factory=dict)
    hand_made: bool = False

    @property
    def latency_ms(self) -> float:
        """Measured or predicted; infinite if it is not known."""
        return self.indicators.get('latency_ms', math.inf)

    @property
    def is_feasible(self) -> bool:
        """Whether it can be deployed and keeps all requirements, as far as is known."""
        return not self.failed and not self.violated

    def score_at(self, share: float) -> float | None:
        """Mean over the seeds after a share of the recipe's length; None if it was not trained so long."""
        values = self.scores.get(share, {})
        return mean(values.values()) if values else None

    @property
    def proposal_score(self) -> float | None:
        """The score that its proposal was told with."""
        return self.shared if self.shared is not None or not self.scores else self.score_at(min(self.scores))

    @property
    def best_known(self) -> float | None:
        """Score after the longest training, else with shared weights."""
        return self.score_at(max(self.scores)) if self.scores else self.shared

    def to_json(self) -> dict[str, Any]:
        """As JSON says it."""
        content = {**self.__dict__, 'candidate': self.candidate.to_json()}
        return json.loads(json.dumps(content))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave."""
        scores = {
            float(share): {int(seed): value for seed, value in of_seed.items()}
            for share, of_seed in content['scores'].items()
        }
        test = {int(seed): value for seed, value in content['test'].items()}
        candidate = Candidate.from_json(content['candidate'])
        return cls(**{**content, 'candidate': candidate, 'scores': scores, 'test': test})


def in_percent(key: str, value: float) -> float:
    """A score of an evaluator in percent: COCO's are shares, all others percent."""
    return 100 * value if key.startswith('coco/') else value


def fastest(networks: Iterable[Network]) -> Network | None:
    """The network of the lowest latency; None if none can be deployed."""
    deployable = [network for network in networks if not network.failed and math.isfinite(network.latency_ms)]
    return min(deployable, key=lambda network: network.latency_ms, default=None)
