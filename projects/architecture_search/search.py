"""A search from its problem to the best network: propose, promote, finish."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from projects.reporting.number_format import three_digits
from projects.storage.atomic_files import write_file
from projects.storage.locations import locate
from projects.storage.parameters import differences, digest

from .candidates import Prepare
from .front import Pair, promoted
from .indicators import Indicators
from .networks import Network, fastest, in_percent
from .problem import REQUIREMENTS, Problem, Requirements, netscore
from .sampler import Proposals, Told
from .space import Point
from .supernet.scores import SupernetScores
from .trainings import WHOLE, Trainings

STATED, STATED_OF_SHARED = 'search.json', 'shared.json'
SHARED = 'shared_scores.json'
OF_ONE_SEARCH = ('limits', 'least_score', 'utility', 'population', 'first')  # what no training depends on
UNKNOWN_MS = 1e9  # told of what cannot be deployed; no number that can be told is larger
FIRST_SEED = 0  # of the weights of all trainings but the last ones

Note = Callable[[str], None]
SAY: Note = partial(print, flush=True)


@dataclass(frozen=True)
class Settings:
    """How a problem is solved.

    Attributes:
        runtime: 'onnxruntime' or 'openvino'.
        threads: Of the processor, for latencies.
        cpu_time: Whether latencies are times of the processor.
        sampler: One of `SAMPLERS`.
        seed: Of the proposals.
        num_processes: Trainings at once.
        minutes: No network is proposed after half of them; None: all are.
    """

    runtime: str = 'openvino'
    threads: int = 1
    cpu_time: bool = False
    sampler: str = 'nsga2'
    seed: int = 0
    num_processes: int = 1
    minutes: float | None = None


class Search:
    """Finds the best network; all that was found is kept, and found again by the same call.

    Args:
        problem: What is searched.
        requirements: What the network must keep, `latency_ms` at least.
        settings: How.
        prepare: Of all configs: to the data that there are. The search holds out a part of their training set.
        work_dir: Keeps everything; made if need be.
        note: Told what is done.
        shared: Keeps latencies, trainings and cheap scores, for searches with other limits, too; None: the work dir.

    Raises:
        ValueError: The folder holds another search, or `shared` other trainings or none.
    """

    def __init__(
        self,
        problem: Problem,
        requirements: Requirements,
        settings: Settings,
        prepare: Prepare,
        work_dir: Path,
        note: Note = SAY,
        shared: Path | None = None,
    ) -> None:
        if 'latency_ms' not in requirements.limits:
            raise ValueError('a search needs a limit of latency_ms')
        self.problem, self.requirements, self.settings = problem, requirements, settings
        if shared is not None and not (shared / STATED_OF_SHARED).is_file():
            raise ValueError(
                f'--shared {shared} holds no {STATED_OF_SHARED}: expected the --work-dir of another search'
            )
        self.work_dir, self.note, self.shared = work_dir, note, shared or work_dir
        work_dir.mkdir(parents=True, exist_ok=True)
        self.made_with = _made_with(problem, requirements, settings)
        of_shared = {name: value for name, value in self.made_with.items() if name not in OF_ONE_SEARCH}
        _state(of_shared, self.shared / STATED_OF_SHARED, 'other trainings', 'another --shared folder')
        _state(self.made_with, work_dir / STATED, 'another search', 'another --work-dir')
        self.indicators = Indicators(
            problem, requirements, prepare, settings.runtime, settings.threads, settings.cpu_time, self.shared
        )
        self.trainings = Trainings(self.shared, prepare, problem, settings.num_processes)
        self.networks: dict[str, Network] = {}
        self._supernet: SupernetScores | None = None

    def propose(self, sampler: str | None = None, seed: int | None = None) -> list[Network]:
        """Propose networks generation by generation, and score those that keep the requirements cheaply.

        Args:
            sampler: Another than that of the settings.
            seed: Likewise.

        Returns:
            All proposals, in order; one that was proposed twice stands there twice.
        """
        problem, settings = self.problem, self.settings
        sampler, seed = sampler or settings.sampler, settings.seed if seed is None else seed
        file = self.work_dir / f'proposals_{sampler}_seed{seed}.journal'
        proposals = Proposals(problem.space, file, sampler, seed, problem.population, self.made_with, problem.first)
        end = time.monotonic() + 60 * settings.minutes / 2 if settings.minutes else math.inf
        known = [point for point, _ in proposals.told()]
        proposed = self._look_at(known[: problem.proposals])
        self._score_cheaply(proposed)
        while len(proposed) < problem.proposals:
            if time.monotonic() > end:
                self.note(f'half of the time is over: {len(proposed)} of {problem.proposals} networks were proposed')
                break
            asked = proposals.ask()
            generation = self._look_at(asked)
            self._score_cheaply(generation)
            proposals.tell([self._told(network) for network in generation])
            proposed += generation
            feasible = sum(network.is_feasible for network in proposed)
            self.note(f'{len(proposed)} of {problem.proposals} networks proposed, {feasible} of them keep the limits')
        return proposed[: problem.proposals]

    def climb(self, proposed: Sequence[Network]) -> list[Network]:
        """Train ever fewer networks for ever longer, the last ones for the whole length.

        Returns:
            Those of the last rung that could be trained, and reach the least score.

        Raises:
            ValueError: No network keeps the requirements.
        """
        rung = self._feasible(list({network.candidate.deployed: network for network in proposed}.values()))
        for share, number in self.problem.rungs.items():
            chosen = [rung[index] for index in promoted([self.pair(network) for network in rung], number)]
            self._measure(chosen)
            chosen = self._feasible(chosen)
            self.note(f'{len(chosen)} networks are trained for {share:.0%} of the length')
            self._train(chosen, share, [FIRST_SEED])
            rung = self._feasible([network for network in chosen if not network.failed])
        return rung

    def look_at_hand_made(self) -> list[Network]:
        """Measure what people made; train for the whole length what keeps the requirements, the best with all seeds."""
        networks = self.indicators.look_at(list(self.problem.hand_made), measured=True)
        for network in networks:
            network.hand_made = True
            self.networks[network.candidate.deployed] = network
        feasible = [network for network in networks if network.is_feasible]
        self.note(f'{len(feasible)} of {len(networks)} configs made by hand keep the limits')
        if feasible:
            self._train(feasible, WHOLE, [FIRST_SEED])
            self.repeat([max(feasible, key=self.utility)])
        return networks

    def repeat(self, finalists: Sequence[Network]) -> None:
        """Train finalists with all seeds, and score the test set, which nothing was chosen by."""
        seeds = self.problem.final_seeds
        self._train(finalists, WHOLE, seeds)
        for network in finalists:
            if not network.failed:
                network.test = {seed: self.trainings.test(network.candidate, seed) for seed in seeds}

    def train_for_correlation(self, proposed: Sequence[Network], number: int) -> None:
        """Train a random choice of feasible proposals for every length, to see which cheap score ranks them."""
        unique = list({network.candidate.trained: network for network in proposed if network.is_feasible}.values())
        order = np.random.default_rng(self.settings.seed).permutation(len(unique))
        chosen = [unique[index] for index in sorted(order[:number])]
        for share in self.problem.rungs:
            self.note(f'{len(chosen)} random networks are trained for {share:.0%} of the length, to compare scores')
            self._train(chosen, share, [FIRST_SEED])

    def best_trained(self, number: int) -> list[Network]:
        """The best networks found that were trained for the whole length, whatever for."""
        trained = [one for one in self.networks.values() if one.score_at(WHOLE) is not None and not one.hand_made]
        return sorted(self._feasible(trained), key=self.utility, reverse=True)[:number]

    def utility(self, network: Network) -> float:
        """What is maximised, by the best score that is known of a network; minus infinity if none is."""
        score = network.best_known
        if score is None or self._shortfall(network) > 0:
            return -math.inf
        if self.problem.utility == 'score':
            return score
        return netscore(score, network.indicators['params_m'], network.indicators['macs_g'])

    def pair(self, network: Network) -> Pair:
        """Latency in ms, and utility."""
        return network.latency_ms, self.utility(network)

    def _look_at(self, points: Sequence[Point]) -> list[Network]:
        """The networks of points, those known before included."""
        candidates = [self.indicators.candidate(point) for point in points]
        new = {candidate.deployed: candidate for candidate in candidates if candidate.deployed not in self.networks}
        if new and not self.networks:
            self.trainings.check_score(next(iter(new.values())))  # before anything is exported and timed
        for network in self.indicators.look_at(list(new.values()), measured=False):
            self.networks[network.candidate.deployed] = network
        return [self.networks[candidate.deployed] for candidate in candidates]

    def _score_cheaply(self, networks: Sequence[Network]) -> None:
        unscored = [network for network in networks if network.is_feasible and network.best_known is None]
        if not unscored:
            return
        if not self.problem.grows:
            self._train(unscored, self.problem.proposal_length, [FIRST_SEED])
            return
        file = self.shared / SHARED
        known: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}
        for network in unscored:
            assert network.candidate.point is not None
            if network.candidate.trained not in known:
                if self._supernet is None:
                    self.note('the supernet is trained')
                    self._supernet = self.trainings.supernet()
                score = self._supernet.score(network.candidate.point)
                known[network.candidate.trained] = in_percent(self.problem.score, score)
                write_file(file, json.dumps(known, indent=1))
            network.shared = known[network.candidate.trained]

    def _told(self, network: Network) -> Told:
        if network.failed:
            return Told(UNKNOWN_MS, 0.0, UNKNOWN_MS)
        utility = self.utility(network)
        latency_ms = min(network.latency_ms, UNKNOWN_MS)
        return Told(latency_ms, utility if math.isfinite(utility) else 0.0, self._excess(network))

    def _excess(self, network: Network) -> float:
        """How far a network is from keeping its requirements; 0 if it does."""
        return self.requirements.excess(network.indicators) + self._shortfall(network)

    def _shortfall(self, network: Network) -> float:
        """How far a network's score lies below the least, as a share of it.

        0 before it was trained for the whole length: what shared weights or short trainings score is something else.
        """
        score, least = network.score_at(WHOLE), self.requirements.least_score
        return 0.0 if score is None or score >= least else 1 - score / least

    def _train(self, networks: Sequence[Network], share: float, seeds: Sequence[int]) -> None:
        scores = self.trainings.train([network.candidate for network in networks], share, seeds)
        for network in networks:
            trained = network.candidate.trained
            if trained in scores.failed:
                network.failed = scores.failed[trained]
            else:
                network.scores.setdefault(share, {}).update(scores.held_out[trained])

    def _measure(self, networks: Sequence[Network]) -> None:
        """Replace predicted latencies by measured ones."""
        for network, found in zip(
            networks, self.indicators.look_at([network.candidate for network in networks], measured=True), strict=True
        ):
            network.indicators, network.violated, network.failed = found.indicators, found.violated, found.failed

    def _feasible(self, networks: Sequence[Network]) -> list[Network]:
        feasible = [network for network in networks if network.is_feasible and math.isfinite(self.utility(network))]
        if feasible:
            return feasible
        best = fastest(self.networks.values())
        if best is None:
            reason = next((network.failed for network in self.networks.values() if network.failed), 'none was proposed')
            raise ValueError(f'none of {len(self.networks)} networks can be deployed: {reason}')
        limits = ', '.join(f'{limit:g} {REQUIREMENTS[name]}' for name, limit in self.requirements.limits.items())
        keeping = [network for network in self.networks.values() if network.is_feasible]
        if keeping:
            highest = max(network.best_known or 0 for network in keeping)
            raise ValueError(
                f'{len(keeping)} networks keep the limits ({limits}), but none scores '
                f'{self.requirements.least_score:g}: the highest score is {highest:.1f}. Ask for less, or allow more'
            )
        raise ValueError(
            f'none of {len(self.networks)} networks that were tried keeps the limits ({limits}): the fastest is '
            f'{best.candidate.name} with {three_digits(best.latency_ms)} ms, '
            f'{three_digits(best.indicators["params_m"])} million parameters and '
            f'{three_digits(best.indicators["macs_g"])} billion multiply-adds. Allow more, or widen the space'
        )


def _made_with(problem: Problem, requirements: Requirements, settings: Settings) -> dict[str, object]:
    """All that what was found depends on, but for how many proposals there are and what is trained in the end."""
    stated = asdict(problem)
    for name in ('title', 'proposals', 'rungs', 'final_seeds', 'hand_made'):
        del stated[name]
    stated['config'] = {'file': problem.config, 'digest': digest([locate(problem.config).read_bytes()])}
    least = requirements.least_score if math.isfinite(requirements.least_score) else None
    stated |= {'limits': requirements.limits, 'least_score': least}
    stated |= {name: getattr(settings, name) for name in ('runtime', 'threads', 'cpu_time')}
    return json.loads(json.dumps(stated))


def _state(made_with: dict[str, object], file: Path, what: str, instead: str) -> None:
    if file.is_file() and (changed := differences(json.loads(file.read_text()), made_with)):
        raise ValueError(f'{file.parent} holds {what} ({"; ".join(changed)}); choose {instead}, or remove it')
    write_file(file, json.dumps(made_with, indent=1))
