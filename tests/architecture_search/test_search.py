"""The flow of a search, where trainings and clocks answer by a law; those are tried for real in tests/tools."""

import json
import math
from contextlib import nullcontext

import pytest

from projects.architecture_search import search as search_module
from projects.architecture_search import trainings as trainings_module
from projects.architecture_search.candidates import candidate_of
from projects.architecture_search.networks import Network
from projects.architecture_search.problem import Problem, Requirements
from projects.architecture_search.search import Search, Settings
from projects.architecture_search.trainings import Scores, Trainings
from projects.training.experiments.schedule import Outcome

CONFIG = 'configs/mixer_softmax_fpn_ade20k.py'


def size_of(point):
    return sum(point[f'dim{stage}'] * point[f'depth{stage}'] for stage in range(1, 5))


class LawfulIndicators:
    """Latency and parameters by a law; what is measured takes a tenth more than was predicted."""

    def __init__(self, problem, requirements, *others):
        self.problem, self.requirements, self.measured = problem, requirements, []
        self.work_dir = others[-1]

    def candidate(self, point):
        return candidate_of(self.problem.space, self.problem.config, point, {})

    def look_at(self, candidates, measured):
        networks = []
        for candidate in candidates:
            ms = size_of(candidate.point) / 100 * candidate.image_scale * (1.1 if measured else 1)
            network = Network(candidate, {'latency_ms': ms, 'params_m': size_of(candidate.point) / 200, 'macs_g': 1.0})
            network.failed = 'runs out of memory' if candidate.point['mixer1'] == 'window' else ''
            network.violated = {} if network.failed else self.requirements.violated(network.indicators)
            networks.append(network)
            if measured:
                self.measured.append(candidate.deployed)
        return networks


class LawfulTrainings:
    """Scores that grow with size and length; keeps what was trained."""

    def __init__(self, work_dir, *_):
        self.work_dir, self.trained = work_dir, []

    def check_score(self, candidate):
        pass

    def train(self, candidates, share, seeds):
        scores = Scores()
        for one in candidates:
            self.trained.append((share, one.trained))
            if one.point['mixer4'] == 'window' and one.point['dim4'] == 192 and share == 1:
                scores.failed[one.trained] = 'killed by signal SIGKILL'
            else:
                scores.held_out[one.trained] = {seed: math.sqrt(size_of(one.point) * share) for seed in seeds}
        return scores


@pytest.fixture
def lawful(grow, tmp_path, monkeypatch):
    monkeypatch.setattr(search_module, 'Indicators', LawfulIndicators)
    monkeypatch.setattr(search_module, 'Trainings', LawfulTrainings)
    monkeypatch.setattr(Problem, 'grows', False)

    def make(limits, least_score=-math.inf, folder='work', shared=None, population=12, held_out=0.25, **settings):
        problem = Problem('T', CONFIG, 'mIoU', grow, 48, population, 0.1, {0.3: 8, 1.0: 3}, (0,), held_out, ())
        requirements, notes = Requirements(limits, least_score), []
        places = tmp_path / folder, notes.append, shared and tmp_path / shared
        found = Search(problem, requirements, Settings(**settings), None, *places)
        found.notes = notes
        return found

    return make


def test_nothing_that_violates_a_limit_is_trained(lawful):
    search = lawful({'latency_ms': 6.0, 'params_m': 2.6})
    proposed = search.propose()
    assert len(proposed) == 48
    finalists = search.climb(proposed)
    refused = {one.candidate.trained for one in proposed if not one.is_feasible and 'SIGKILL' not in one.failed}
    trained = {name for _, name in search.trainings.trained}
    feasible_elsewhere = {one.candidate.trained for one in proposed if one.scores}
    assert refused
    assert not (refused - feasible_elsewhere) & trained
    for network in finalists:
        assert network.indicators['latency_ms'] == pytest.approx(
            1.1 * size_of(network.candidate.point) / 100 * network.candidate.image_scale
        )
        assert network.latency_ms <= 6
        assert network.candidate.deployed in search.indicators.measured


def test_ever_fewer_networks_are_trained_for_ever_longer(lawful):
    search = lawful({'latency_ms': 9.0})
    finalists = search.climb(search.propose())
    numbers = {share: len({name for s, name in search.trainings.trained if s == share}) for share in (0.1, 0.3, 1.0)}
    assert numbers[0.1] > numbers[0.3] > numbers[1.0] >= len(finalists) >= 1
    assert numbers[0.3] <= 8
    assert numbers[1.0] <= 3
    assert max(one.best_known for one in finalists) >= max(
        one.proposal_score for one in search.networks.values() if one.scores
    )


def test_what_was_trained_to_compare_scores_may_be_the_best(lawful):
    search = lawful({'latency_ms': 6.0})
    proposed = search.propose()
    climbed = search.climb(proposed)
    search.train_for_correlation(proposed, len(proposed))  # all
    best = search.best_trained(2)
    whole = [one for one in proposed if one.score_at(1.0) is not None and one.is_feasible]
    assert best[0].score_at(1.0) == max(one.score_at(1.0) for one in whole)
    assert len(best) == 2
    assert search.utility(best[1]) >= sorted(map(search.utility, climbed))[-2]


def test_the_same_call_finds_the_same(lawful):
    one = lawful({'latency_ms': 6.0})
    first = [network.candidate.deployed for network in one.propose()]
    again = lawful({'latency_ms': 6.0})
    assert [network.candidate.deployed for network in again.propose()] == first


def test_an_impossible_budget_names_the_fastest(lawful):
    search = lawful({'latency_ms': 0.5})
    proposed = search.propose()
    fastest_ms = min(one.latency_ms for one in proposed if not one.failed)
    with pytest.raises(ValueError, match=r'none of \d+ networks that were tried keeps the limits \(0.5 ms\)') as error:
        search.climb(proposed)
    assert f'{fastest_ms:.3g} ms' in str(error.value)
    assert not search.trainings.trained


def test_a_score_that_none_reaches_is_told(lawful):
    search = lawful({'latency_ms': 6.0}, least_score=99)
    with pytest.raises(
        ValueError, match=r'networks keep the limits \(6 ms\), but none scores 99: the highest score is \d'
    ):
        search.climb(search.propose())


def test_the_least_score_is_asked_of_whole_trainings_alone(lawful):
    free = lawful({'latency_ms': 6.0})
    whole = max(one.best_known for one in free.climb(free.propose()))
    short = max(one.proposal_score for one in free.networks.values() if one.scores)
    assert short < whole
    search = lawful({'latency_ms': 6.0}, least_score=(short + whole) / 2, folder='other')
    found = search.climb(search.propose())
    assert max(one.best_known for one in found) == whole
    assert all(one.score_at(1.0) >= (short + whole) / 2 for one in found)


def test_what_fails_is_counted_and_not_fatal(lawful):
    search = lawful({'latency_ms': 20.0})
    proposed = search.propose()
    search.climb(proposed)
    failures = {one.failed for one in search.networks.values() if one.failed}
    assert 'runs out of memory' in failures
    assert all(not one.scores for one in search.networks.values() if one.failed == 'runs out of memory')


def test_a_score_that_is_not_given_is_told_before_anything_is_measured(lawful, monkeypatch):
    def refuse(self, candidate):
        raise ValueError('cannot be searched for IoU')

    monkeypatch.setattr(LawfulTrainings, 'check_score', refuse)
    search = lawful({'latency_ms': 20.0})
    with pytest.raises(ValueError, match='cannot be searched for IoU'):
        search.propose()
    assert not search.networks


def test_the_folder_of_another_search_is_refused(lawful):
    lawful({'latency_ms': 6.0})
    with pytest.raises(ValueError, match=r'holds another search \(limits.latency_ms: 6.0 before, 7.0 now\)'):
        lawful({'latency_ms': 7.0})
    with pytest.raises(ValueError, match='runtime'):
        lawful({'latency_ms': 6.0}, runtime='onnxruntime')
    lawful({'latency_ms': 6.0}, sampler='random', seed=3)  # may be added


def test_a_search_with_other_limits_shares_latencies_and_trainings(lawful):
    first = lawful({'latency_ms': 6.0})
    other = lawful({'latency_ms': 7.0, 'params_m': 2.0}, 0.3, 'other', 'work', population=8)
    assert first.shared == first.work_dir == other.shared != other.work_dir
    assert other.trainings.work_dir == other.indicators.work_dir == first.work_dir
    with pytest.raises(ValueError, match=r'mistyped holds no shared.json: expected the --work-dir of another search'):
        lawful({'latency_ms': 7.0}, folder='third', shared='mistyped')
    for changed, message in (({'runtime': 'onnxruntime'}, 'runtime: '), ({'held_out': 0.5}, 'held_out: 0.25 before')):
        with pytest.raises(ValueError, match=rf'work holds other trainings \({message}.*another --shared folder'):
            lawful({'latency_ms': 7.0}, folder='third', shared='work', **changed)


def test_proposing_ends_with_half_of_the_time(lawful, monkeypatch):
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr(search_module.time, 'monotonic', lambda: next(clock))
    search = lawful({'latency_ms': 6.0}, minutes=5)  # half are 150 s
    assert len(search.propose()) == 12
    assert any('half of the time is over: 12 of 48' in note for note in search.notes)


def test_netscore_prefers_the_small(lawful):
    search = lawful({'latency_ms': 20.0})
    small, large = (Network(None, {'params_m': p, 'macs_g': 1.0}, shared=50.0) for p in (1.0, 4.0))
    assert search.utility(small) == search.utility(large) == 50
    object.__setattr__(search.problem, 'utility', 'netscore')
    assert search.utility(small) - search.utility(large) == pytest.approx(10 * math.log10(4))


def test_what_is_stated_can_be_read(lawful, tmp_path):
    lawful({'latency_ms': 6.0})
    stated = json.loads((tmp_path / 'work' / 'search.json').read_text())
    assert stated['limits'] == {'latency_ms': 6.0}
    assert stated['config']['file'] == CONFIG


@pytest.mark.parametrize(
    ('reason', 'refused'),
    [("trial: the validation gives no 'mIoU' to record, but []", True), ('killed by SIGKILL', False)],
)
def test_the_trial_refuses_an_absent_score_and_no_network_that_fails(grow, tmp_path, monkeypatch, reason, refused):
    failed = Outcome([], {trainings_module.TRIAL: reason})
    monkeypatch.setattr(trainings_module, 'run_all', lambda *_, **__: failed)
    problem = Problem('T', CONFIG, 'mIoU', grow, 48, 12, 0.1, {1.0: 3}, (0,), 0.25, ())
    trainings = Trainings(tmp_path, None, problem, 1)
    trainings.configs.mkdir(parents=True)
    (trainings.configs / f'{trainings_module.TRIAL}.py').touch()
    candidate = candidate_of(grow, CONFIG, grow.at(0), {})
    with pytest.raises(ValueError, match='cannot be searched for mIoU') if refused else nullcontext():
        trainings.check_score(candidate)
