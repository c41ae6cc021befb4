import math
from itertools import product

import numpy as np
import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from projects.architecture_search.front import hypervolume
from projects.architecture_search.sampler import SAMPLERS, Proposals, Told

LIMIT_MS = 8.0


def analytic(point):
    """Latency and utility of a made-up law: attention pays in the coarse stages alone."""
    windows = [point[f'mixer{stage}'] == 'window' for stage in range(1, 5)]
    sizes = [point[f'dim{stage}'] * point[f'depth{stage}'] for stage in range(1, 5)]
    ms = sum(size * (1.6 if window else 1) for size, window in zip(sizes, windows, strict=True)) / 100
    ms *= 4 / point['stem_stride'] * point['image_scale'] * (1 if point['precision'] == 'bf16' else 2)
    gain = sum(
        math.sqrt(size) * (1.5 if window and stage > 1 else 1)
        for stage, (size, window) in enumerate(zip(sizes, windows, strict=True))
    )
    utility = 100 * (1 - math.exp(-gain / 50)) * (4 / point['stem_stride']) ** 0.2 * point['image_scale'] ** 0.3
    excess = max(ms / LIMIT_MS - 1, 0)
    return Told(ms, 0.0 if excess else utility, excess)


def run(space, file, sampler, generations, seed=0, population=12):
    proposals = Proposals(space, file, sampler, seed, population, {'law': 1})
    for _ in range(generations):
        proposals.tell([analytic(point) for point in proposals.ask()])
    return proposals.told()


@pytest.mark.parametrize('sampler', SAMPLERS)
def test_an_interrupted_search_proposes_the_same_networks(grow, tmp_path, sampler):
    whole = run(grow, tmp_path / 'whole', sampler, 5)
    run(grow, tmp_path / 'parts', sampler, 2)
    killed = Proposals(grow, tmp_path / 'parts', sampler, 0, 12, {'law': 1})
    killed.ask()  # and is killed before it tells
    run(grow, tmp_path / 'parts', sampler, 1)
    assert run(grow, tmp_path / 'parts', sampler, 2) == whole
    assert all(grow.check(point) == point for point, _ in whole)


def test_two_processes_share_a_search(grow, tmp_path):
    whole = run(grow, tmp_path / 'whole', 'nsga2', 3)
    one, other = (Proposals(grow, tmp_path / 'shared', 'nsga2', 0, 12, {'law': 1}) for _ in range(2))
    for _ in range(3):
        points = one.ask()
        assert other.ask() == points
        told = [analytic(point) for point in points]
        other.tell(told)
        one.tell(told)  # which the other did before
    assert one.told() == other.told() == whole


def test_seeds_and_samplers_differ(grow, tmp_path):
    found = [run(grow, tmp_path / f'{s}{seed}', s, 2, seed) for s in ('nsga2', 'random') for seed in (0, 1)]
    assert all(one != other for index, one in enumerate(found) for other in found[:index])


def test_a_search_comes_close_to_the_front_that_chance_does_not_reach(grow, tmp_path):
    points = (dict(zip(grow.choices, values, strict=True)) for values in product(*grow.choices.values()))
    everything = [analytic(point) for point in points]

    def volume(told):
        return hypervolume([(one.latency_ms, one.utility) for one in told if not one.excess], LIMIT_MS)

    best = volume(everything)
    shares = {
        sampler: volume([told for _, told in run(grow, tmp_path / sampler, sampler, 30)]) / best
        for sampler in ('nsga2', 'random')
    }
    assert shares['nsga2'] > 0.96 > shares['random']


def test_what_is_told_comes_back(grow, tmp_path):
    for point, told in run(grow, tmp_path / 'one', 'tpe', 2):
        assert told == analytic(point)


def test_the_storage_of_another_search_is_refused(grow, select, tmp_path):
    run(grow, tmp_path / 'one', 'nsga2', 1)
    with pytest.raises(ValueError, match=r'holds another search: .*law: 1 before, 2 now.*Choose another --work-dir'):
        Proposals(grow, tmp_path / 'one', 'nsga2', 0, 12, {'law': 2})
    with pytest.raises(ValueError, match=r'holds another search: .*choices'):
        Proposals(select, tmp_path / 'one', 'nsga2', 0, 12, {'law': 1})
    optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / 'theirs'))), study_name='search'
    )
    with pytest.raises(ValueError, match='holds a study with other objectives'):
        Proposals(grow, tmp_path / 'theirs', 'nsga2', 0, 12, {})


@pytest.mark.parametrize('sampler', ['nsga2', 'tpe', 'random'])
def test_given_networks_are_asked_for_first(grow, tmp_path, sampler):
    given = [grow.extreme(largest=True), grow.extreme(largest=False), grow.random(np.random.default_rng(7))]
    proposals = Proposals(grow, tmp_path / 'given', sampler, 0, 2, {'law': 1}, given)
    without = Proposals(grow, tmp_path / 'without', sampler, 0, 2, {'law': 1})
    asked = []
    for _ in range(2):
        asked += proposals.ask()
        proposals.tell([analytic(point) for point in asked[-2:]])
    assert asked[:3] == given
    assert asked[3] not in given
    assert without.ask() != asked[:2]


def test_unknown_samplers_are_refused(grow, tmp_path):
    with pytest.raises(ValueError, match="sampler is 'grid'; expected one of nsga2, tpe, random"):
        Proposals(grow, tmp_path / 'one', 'grid', 0, 12, {})
