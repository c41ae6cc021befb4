"""What may be concluded from a search: whether cheap scores rank networks, and whether a sampler beats chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest, kendalltau

from .front import hypervolume
from .networks import Network
from .trainings import WHOLE

LEAST_NETWORKS = 16  # for a rank correlation
LEAST_TAU = 0.4  # below it a score does not rank
ALPHA = 0.05


@dataclass(frozen=True)
class Correlation:
    """How well a cheap score ranks networks.

    Attributes:
        fidelity: The cheap score, for people.
        n: Networks that have both scores.
        tau: Kendall's tau-b with the score after the whole training; None where all scores are equal.
    """

    fidelity: str
    n: int
    tau: float | None

    @property
    def verdict(self) -> str:
        """What follows."""
        if self.tau is None or self.n < LEAST_NETWORKS:
            return f'not known: {self.n} of {LEAST_NETWORKS} networks'
        return 'ranks' if self.tau >= LEAST_TAU else 'does not rank here'


def correlations(networks: Sequence[Network], shares: Sequence[float]) -> list[Correlation]:
    """Compare every cheap score, and multiply-adds, with the score after the whole length.

    Args:
        networks: Of a search; those that were trained for the whole length count.
        shares: Of the recipe's length; the whole one is what the others are compared with.
    """
    whole = [network for network in networks if network.score_at(WHOLE) is not None]
    found = []
    for title, values in (
        ('multiply-adds', [network.indicators.get('macs_g') for network in whole]),
        ('supernet', [network.shared for network in whole]),
        *(
            (f'{share:.0%} of the length', [network.score_at(share) for network in whole])
            for share in shares
            if share < WHOLE
        ),
    ):
        pairs = [
            (value, network.score_at(WHOLE)) for value, network in zip(values, whole, strict=True) if value is not None
        ]
        if len(pairs) > 1:
            cheap, dear = zip(*pairs, strict=True)
            tau = float(kendalltau(cheap, dear).statistic)
            found.append(Correlation(title, len(pairs), None if math.isnan(tau) else tau))
    return found


@dataclass(frozen=True)
class Duel:
    """A sampler against random search, repeat by repeat, with as many networks scored.

    Attributes:
        sampler: Its name.
        volumes: Hypervolume by seed, of latency up to the limit and utility.
        random: The same of random search.
    """

    sampler: str
    volumes: dict[int, float]
    random: dict[int, float]

    @property
    def wins(self) -> int:
        """Repeats in which its hypervolume is larger."""
        return sum(self.volumes[seed] > self.random[seed] for seed in self.volumes)

    @property
    def p_value(self) -> float:
        """Of the one-sided sign test: how probable so many wins are where both are alike."""
        return float(binomtest(self.wins, len(self.volumes), alternative='greater').pvalue)

    @property
    def verdict(self) -> str:
        """What follows."""
        return 'better than random search' if self.p_value <= ALPHA else 'not shown to be better than random search'


def front_volume(networks: Sequence[Network], most_ms: float) -> float:
    """Hypervolume of what a sampler found by the scores that it was told, in ms times percent.

    Args:
        networks: Its proposals.
        most_ms: The limit of latency.
    """
    return hypervolume([(one.latency_ms, one.proposal_score or 0.0) for one in networks if one.is_feasible], most_ms)
