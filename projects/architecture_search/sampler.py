"""Which networks to try next, by Optuna: the same ones whoever asks, and however often the search was interrupted."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from projects.storage.parameters import differences

from .space import Point, Space, Value

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
    from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise ImportError("a search needs Optuna: pip install -e '.[search]'") from error

SAMPLERS = ('nsga2', 'tpe', 'random')
STUDY = 'search'
DIRECTIONS: tuple[Literal['minimize'], Literal['maximize']] = ('minimize', 'maximize')  # latency, utility
CONSTRAINTS = 'constraints'  # Optuna's name of how far a trial is from feasible

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Told:
    """What became of a network that was proposed.

    Attributes:
        latency_ms: Of its file.
        utility: What is maximised; of a network that is not feasible, the least there may be.
        excess: 0 if it keeps all requirements, else how far it is from that.
    """

    latency_ms: float
    utility: float
    excess: float


class Proposals:
    """Networks in the order in which they are tried, kept in one file that several processes and machines may share.

    A generation is asked for, scored and told as a whole. Its networks follow from the seed, the number of each and
    what was told of the generations before: not from how many processes there are, nor from where a search was
    interrupted. For this a sampler is made anew for each network; Optuna's own, that of a whole study, does not resume.

    Args:
        space: Of networks.
        file: The journal; made if need be.
        sampler: One of `SAMPLERS`.
        seed: Of all that is random.
        population: Networks of a generation.
        made_with: What else the values told depend on.
        first: Networks that are asked for before the sampler is.

    Raises:
        ValueError: The sampler is unknown, or the file holds another search.
    """

    def __init__(
        self,
        space: Space,
        file: Path,
        sampler: str,
        seed: int,
        population: int,
        made_with: dict[str, Any],
        first: Sequence[Point] = (),
    ) -> None:
        if sampler not in SAMPLERS:
            raise ValueError(f'sampler is {sampler!r}; expected one of {", ".join(SAMPLERS)}')
        self.space, self.sampler, self.seed, self.population, self.first = space, sampler, seed, population, first
        self.lock = FileLock(file.with_name(f'.{file.name}.lock'))
        choices = {name: list(values) for name, values in space.choices.items()}
        stated = {**made_with, 'sampler': sampler, 'seed': seed, 'population': population, 'choices': choices}
        stated = json.loads(json.dumps(stated))
        with self.lock, warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the journal was called experimental once
            self.study = optuna.create_study(
                storage=optuna.storages.JournalStorage(JournalFileBackend(str(file))),
                study_name=STUDY,
                directions=list(DIRECTIONS),
                load_if_exists=True,
            )
            if self.study.directions != [optuna.study.StudyDirection[name.upper()] for name in DIRECTIONS]:
                raise ValueError(f'{file} holds a study with other objectives; choose another --work-dir')
            before = self.study.user_attrs.get('made_with')
            if before is None:
                if self.study.trials:
                    raise ValueError(f'{file} holds a study that is none of this project; choose another --work-dir')
                self.study.set_user_attr('made_with', stated)
            elif changed := differences(before, stated):
                raise ValueError(f'{file} holds another search: {"; ".join(changed)}. Choose another --work-dir')

    def told(self) -> list[tuple[Point, Told]]:
        """All networks whose values are known, in order."""
        return [(_point(self.space, trial), _told(trial)) for trial in self._known()]

    def ask(self) -> list[Point]:
        """Return the next generation, without making it known to anybody."""
        known = self._known()
        study = optuna.create_study(directions=list(DIRECTIONS))
        study.add_trials(known)
        for number in range(len(known), len(known) + self.population):
            study.sampler = self._sampler(number)
            if number < len(self.first):
                study.enqueue_trial(_parameters(self.space, self.first[number]))
            study.ask(_distributions(self.space))
        self.asked = study.get_trials(deepcopy=False)[len(known) :]
        return [_point(self.space, trial) for trial in self.asked]

    def tell(self, values: Sequence[Told]) -> None:
        """Make known what became of the generation that was asked for; another process may have done so meanwhile.

        Args:
            values: One for each of its networks.
        """
        with self.lock:
            if len(self._known()) > self.asked[0].number:
                return
            for trial, told in zip(self.asked, values, strict=True):
                self.study.add_trial(
                    optuna.trial.create_trial(
                        state=TrialState.COMPLETE,
                        values=[told.latency_ms, told.utility],
                        params=trial.params,
                        distributions=trial.distributions,
                        system_attrs={**trial.system_attrs, CONSTRAINTS: (told.excess,)},
                    )
                )

    def _known(self) -> list[FrozenTrial]:
        """Trials as they are stored; that nobody changes them spares copies, which took half of the time."""
        return self.study.get_trials(deepcopy=False)

    def _sampler(self, number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        if self.sampler == 'random':
            return RandomSampler(seed)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # constraints were called experimental once
            if self.sampler == 'tpe':
                return TPESampler(
                    n_startup_trials=self.population, multivariate=True, seed=seed, constraints_func=_excess
                )
            return NSGAIISampler(population_size=self.population, seed=seed, constraints_func=_excess)


def _excess(trial: FrozenTrial) -> tuple[float, ...]:
    return tuple(trial.system_attrs.get(CONSTRAINTS, (0.0,)))


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    """Numbers are ordered, names are not; a choice of one value is none."""
    return {
        name: IntDistribution(0, len(values) - 1) if _ordered(values) else CategoricalDistribution(values)
        for name, values in space.choices.items()
        if len(values) > 1
    }


def _ordered(values: Sequence[Value]) -> bool:
    return not any(isinstance(value, str) for value in values)


def _point(space: Space, trial: FrozenTrial) -> Point:
    point: dict[str, Value] = {}
    for name, values in space.choices.items():
        if len(values) == 1:
            point[name] = values[0]
        else:
            chosen = trial.params[name]
            point[name] = sorted(values)[chosen] if _ordered(values) else chosen
    return point


def _parameters(space: Space, point: Point) -> dict[str, Value]:
    """What `_point` makes the point of."""
    return {
        name: sorted(values).index(point[name]) if _ordered(values) else point[name]
        for name, values in space.choices.items()
        if len(values) > 1
    }


def _told(trial: FrozenTrial) -> Told:
    latency_ms, utility = trial.values
    return Told(latency_ms, utility, _excess(trial)[0])
