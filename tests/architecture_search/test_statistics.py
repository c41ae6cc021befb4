import pytest

from projects.architecture_search.candidates import Candidate
from projects.architecture_search.networks import Network, fastest, in_percent
from projects.architecture_search.statistics import Correlation, Duel, correlations, front_volume


def network(index, cheap, whole=None, **changed):
    scores = {0.1: {0: cheap}} | ({} if whole is None else {1.0: {0: whole, 1: whole + 2}})
    indicators = {'latency_ms': float(index), 'macs_g': float(-index)}
    return Network(Candidate(str(index), 'a.py', {'n': index}), indicators, scores=scores, **changed)


def test_kendalls_tau_by_hand():
    # of six pairs five are in the same order: tau = (5 - 1) / 6; multiply-adds fall while scores rise, but for one pair
    networks = [network(1, 10, 30), network(2, 30, 40), network(3, 20, 50), network(4, 40, 60), network(5, 99)]
    found = {one.fidelity: one for one in correlations(networks, [0.1, 1.0])}
    assert found.keys() == {'multiply-adds', '10% of the length'}
    assert found['10% of the length'].tau == pytest.approx(4 / 6)
    assert found['multiply-adds'].tau == -1
    assert (found['multiply-adds'].n, found['multiply-adds'].verdict) == (4, 'not known: 4 of 16 networks')


@pytest.mark.parametrize(('tau', 'verdict'), [(0.4, 'ranks'), (0.39, 'does not rank here'), (None, 'not known')])
def test_what_follows_from_a_correlation(tau, verdict):
    assert Correlation('supernet', 16, tau).verdict.startswith(verdict)


@pytest.mark.parametrize(
    ('wins', 'p', 'verdict'), [(5, 1 / 32, 'better'), (4, 6 / 32, 'not shown'), (0, 1, 'not shown')]
)
def test_five_wins_of_five_are_shown_and_four_are_not(wins, p, verdict):
    duel = Duel('nsga2', {seed: 2.0 if seed < wins else 1.0 for seed in range(5)}, dict.fromkeys(range(5), 1.0))
    assert duel.wins == wins  # equal ones are none
    assert duel.p_value == pytest.approx(p)
    assert duel.verdict.startswith(verdict)


def test_the_volume_of_a_front_counts_what_is_feasible():
    networks = [network(1, 10), network(2, 30), network(3, 90, violated={'latency_ms': 'slow'}), network(4, 5)]
    assert front_volume(networks, 5) == (5 - 1) * 10 + (5 - 2) * 20


def test_scores_of_a_network():
    one = network(1, 10, 30)
    assert (one.proposal_score, one.best_known, one.score_at(1.0), one.score_at(0.5)) == (10, 31, 31, None)
    one.shared = 7
    assert (one.proposal_score, one.best_known) == (7, 31)
    assert Network.from_json(one.to_json()) == one
    assert Network(Candidate('a', 'a.py')).best_known is None
    assert fastest([network(2, 1), network(1, 1, failed='no'), Network(Candidate('a', 'a.py'))]).candidate.name == '2'


def test_percent():
    assert in_percent('coco/bbox_mAP', 0.391) == pytest.approx(39.1)
    assert in_percent('mIoU', 39.1) == 39.1
