"""What is searched for: the best network of a space, subject to requirements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from projects.reporting.number_format import three_digits
from projects.training.experiments.settings import check_group, check_keys, read_settings

from .candidates import Candidate
from .space import PRECISION, GrowSpace, Point, SelectSpace, Space

UTILITIES = ('score', 'netscore')
REQUIREMENTS = {
    'latency_ms': 'ms',
    'params_m': 'million parameters',
    'macs_g': 'billion multiply-adds',
    'memory_mb': 'MB of memory',
}
"""Indicators that have an upper limit, and their units."""
HELD_OUT = 0.25  # of the training set


@dataclass(frozen=True)
class Problem:
    """A search, but for the budget and the machine.

    Attributes:
        title: For people.
        config: Config file of the task: data, head, recipe.
        score: Key of the evaluator that is maximised; its values are shares, from 0 to 1, or percent.
        space: All networks.
        proposals: How many networks are scored at first.
        population: How many of these are proposed at once, knowing how those before scored.
        proposal_length: For how long each proposal of a `SelectSpace` is trained, or the supernet of a `GrowSpace`, as
            a share of the recipe's length.
        rungs: Trainings of what was promoted, shortest first, the last of the whole length: by the share of the
            recipe's length how many networks are trained for so long.
        final_seeds: Seeds of the trainings of the last rung.
        held_out: Share of the training set that the search scores on.
        hand_made: Configs, and what of them is changed, that are trained for the whole length and measured like what
            is found.
        first: Networks that are proposed before all others: those that people would try.
        utility: 'score', or 'netscore' (https://arxiv.org/abs/1806.05512): 20 log10(a² / sqrt(p m)) of the score in
            percent, millions of parameters and billions of multiply-adds.
        options: Dotted keys of the config and their values, for all networks.
    """

    title: str
    config: str
    score: str
    space: Space
    proposals: int
    population: int
    proposal_length: float
    rungs: dict[float, int]
    final_seeds: tuple[int, ...]
    held_out: float
    hand_made: tuple[Candidate, ...]
    first: tuple[Point, ...] = ()
    utility: str = 'score'
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def grows(self) -> bool:
        """Whether networks share the weights of a supernet at first."""
        return isinstance(self.space, GrowSpace)


@dataclass(frozen=True)
class Requirements:
    """Limits that a network must keep.

    Attributes:
        limits: By the name of an indicator, a key of `REQUIREMENTS`, the most it may be.
        least_score: The least that the score may be after the whole training, in percent.

    Raises:
        ValueError: A limit is not positive, or of no indicator.
    """

    limits: dict[str, float]
    least_score: float = -math.inf

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            if name not in REQUIREMENTS:
                raise ValueError(f'no indicator is called {name!r}; expected some of {", ".join(REQUIREMENTS)}')
            if not limit > 0:
                raise ValueError(f'the limit of {name} is {limit}; expected a number above 0')

    def violated(self, indicators: Mapping[str, float]) -> dict[str, str]:
        """What a network that has these indicators does not keep: by indicator a text for people.

        Indicators that are not given are not looked at.
        """
        return {
            name: f'{three_digits(indicators[name])} {REQUIREMENTS[name]}, of which {limit:g} are allowed'
            for name, limit in self.limits.items()
            if name in indicators and indicators[name] > limit
        }

    def excess(self, indicators: Mapping[str, float]) -> float:
        """How far above its limits a network is: the sum of the relative excesses; 0 where it keeps all."""
        return sum(max(indicators[name] / limit - 1, 0) for name, limit in self.limits.items() if name in indicators)


def netscore(score_percent: float, params_m: float, macs_g: float) -> float:
    """NetScore with the authors' exponents 2, 1/2, 1/2 (https://arxiv.org/abs/1806.05512, equation 1).

    Args:
        score_percent: Above 0, else the result is minus infinity.
        params_m: Millions of parameters.
        macs_g: Billions of multiply-adds.
    """
    if score_percent <= 0:
        return -math.inf
    return 20 * math.log10(score_percent**2 / math.sqrt(params_m * macs_g))


def read_problem(path: Path, overrides: Mapping[str, Any]) -> Problem:
    """Read a search file.

    Args:
        path: Python assignments; see `configs/search`.
        overrides: Dotted keys and values.

    Raises:
        ValueError: Says what is missing, unknown or of another kind than expected.
    """
    settings = read_settings(path, overrides)
    known = {'title', 'config', 'score', 'space', 'proposals', 'population', 'proposal_length', 'rungs'}
    optional = {'final_seeds', 'held_out', 'hand_made', 'first', 'utility', 'options'}
    check_keys(str(path), settings, dict.fromkeys(known, True) | dict.fromkeys(optional, False))
    space = _space(settings['space'])
    rungs = _rungs(settings['rungs'])
    proposals, population = settings['proposals'], settings['population']
    for name in ('population', 'proposals'):
        if not isinstance(settings[name], int) or isinstance(settings[name], bool):
            raise ValueError(f'{name} is {settings[name]!r}; expected a whole number')
    if not 1 <= population <= proposals:
        raise ValueError(f'population is {population}; expected 1 to {proposals}, the number of proposals')
    if next(iter(rungs.values())) > proposals:
        raise ValueError(f'rungs train {next(iter(rungs.values()))} networks first, of {proposals} proposals')
    length, held_out = settings['proposal_length'], settings.get('held_out', HELD_OUT)
    if not isinstance(length, int | float) or length <= 0:
        raise ValueError(f'proposal_length is {length!r}; expected more than 0, as a share of the length of the recipe')
    if not isinstance(held_out, int | float) or not 0 < held_out < 1:
        raise ValueError(f'held_out is {held_out!r}; expected a share between 0 and 1')
    final_seeds = tuple(dict.fromkeys(settings.get('final_seeds', (0,))))
    if not final_seeds:
        raise ValueError('final_seeds are empty; expected one seed at least')
    utility = settings.get('utility', 'score')
    if utility not in UTILITIES:
        raise ValueError(f'utility is {utility!r}; expected one of {", ".join(UTILITIES)}')
    hand_made = settings.get('hand_made', {})
    check_group('hand_made', hand_made)
    return Problem(
        title=settings['title'],
        config=settings['config'],
        score=settings['score'],
        space=space,
        proposals=proposals,
        population=population,
        proposal_length=length,
        rungs=rungs,
        final_seeds=final_seeds,
        held_out=held_out,
        hand_made=tuple(
            Candidate(
                name if len(space.precisions) == 1 else f'{name} {precision}',
                one['config'],
                one.get('options', {}),
                precision=precision,
            )
            for name, one in hand_made.items()
            for precision in space.precisions
        ),
        first=_first(settings.get('first', ()), space, proposals),
        utility=utility,
        options=settings.get('options', {}),
    )


def _space(given: Any) -> Space:
    shared = {'precisions': True, 'image_scales': False}
    check_group('space', given)
    given = {'image_scales': (1.0,), **given}
    check_keys('space', given, shared | dict.fromkeys(given, False))
    precisions, image_scales = tuple(given['precisions']), tuple(given['image_scales'])
    if 'select' in given:
        check_keys('space', given, shared | {'select': True})
        for name, values in given['select'].items():
            check_group(f'space.select.{name}', values)
        return SelectSpace(precisions, image_scales, given['select'])
    check_keys('space', given, shared | dict.fromkeys(('dims', 'depths', 'mixers', 'stem_strides', 'image_size'), True))
    dims, depths, mixers = (tuple(map(tuple, given[name])) for name in ('dims', 'depths', 'mixers'))
    return GrowSpace(
        precisions, image_scales, dims, depths, mixers, tuple(given['stem_strides']), tuple(given['image_size'])
    )


def _first(given: Any, space: Space, proposals: int) -> tuple[Point, ...]:
    """Points in each precision, which they do not say."""
    if not isinstance(given, list | tuple) or not all(isinstance(one, Mapping) for one in given):
        raise ValueError(f'first is {given!r}; expected a list of networks, each a dict of a value for each choice')
    points = []
    for precision in space.precisions:
        for one in given:
            try:
                points.append(space.check({PRECISION: precision, **one}))
            except ValueError as error:
                raise ValueError(f'first: {error}') from error
    if len(points) > proposals:
        raise ValueError(f'first are {len(points)} networks, of {proposals} proposals')
    return tuple(points)


def _rungs(given: Any) -> dict[float, int]:
    """Shares of the recipe's length, rising to 1, and falling numbers of networks."""
    pairs: Sequence[Any] = [tuple(pair) for pair in given] if isinstance(given, list | tuple) else []
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f'rungs are {given!r}; expected pairs of a share of the length and a number of networks')
    shares, numbers = zip(*pairs, strict=True)
    if list(shares) != sorted(set(shares)) or shares[0] <= 0 or shares[-1] != 1:
        raise ValueError(f'rungs have the lengths {shares}; expected rising shares of the recipe, the last of them 1')
    if list(numbers) != sorted(numbers, reverse=True) or numbers[-1] < 1:
        raise ValueError(f'rungs have {numbers} networks; expected numbers that do not rise, of 1 or more')
    return dict(pairs)
