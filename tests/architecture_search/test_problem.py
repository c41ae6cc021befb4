import math
from pathlib import Path

import pytest

from projects.architecture_search.problem import Requirements, netscore, read_problem

SEARCHES = sorted(Path('configs/search').glob('*.py'))


@pytest.mark.parametrize('file', SEARCHES, ids=lambda file: file.stem)
def test_every_search_file_can_be_read(file):
    problem = read_problem(file, {})
    assert len(problem.space) >= 100
    assert list(problem.rungs)[-1] == 1
    assert problem.hand_made
    assert problem.grows == file.stem.startswith('grow')


def test_settings_of_a_file_are_overridden():
    problem = read_problem(SEARCHES[0], {'proposals': 10, 'population': 5, 'space.precisions': ['fp32', 'bf16']})
    assert (problem.proposals, problem.space.precisions) == (10, ('fp32', 'bf16'))
    names = [(one.name, one.precision) for one in problem.hand_made]
    assert names[:2] == [('mixer_softmax fp32', 'fp32'), ('mixer_softmax bf16', 'bf16')]


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'population': 500}, 'population is 500; expected 1 to'),
        ({'rungs': [[0.5, 2]]}, 'expected rising shares of the recipe, the last of them 1'),
        ({'rungs': [[1.0, 2], [0.5, 1]]}, 'expected rising shares'),
        ({'rungs': [[0.5, 2], [1.0, 3]]}, 'expected numbers that do not rise'),
        ({'rungs': [[0.5, 2000], [1.0, 3]]}, 'rungs train 2000 networks first, of'),
        ({'rungs': 3}, 'rungs are 3; expected pairs'),
        ({'utility': 'speed'}, "utility is 'speed'; expected one of score, netscore"),
        ({'population': None}, 'population is None; expected a whole number'),
        ({'proposal_length': 0}, 'proposal_length is 0; expected more than 0'),
        ({'held_out': 1}, 'held_out is 1; expected a share between 0 and 1'),
        ({'final_seeds': []}, 'final_seeds are empty'),
        ({'space.precisions': ['int3']}, 'expected some of fp32, fp16, bf16, int8'),
        ({'first': [{'backbone': 'resnet'}]}, 'first: .* is no network of this space'),
        ({'first': 'resnet'}, "first is 'resnet'; expected a list of networks"),
        ({'colour': 'red'}, r"unknown keys \['colour'\]"),
    ],
)
def test_problems_that_cannot_be_solved_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        read_problem(SEARCHES[0], changed)


def test_requirements_by_hand():
    requirements = Requirements({'latency_ms': 10, 'params_m': 4})
    assert requirements.violated({'latency_ms': 10, 'params_m': 4}) == {}
    assert requirements.violated({'latency_ms': 12.5}) == {'latency_ms': '12.5 ms, of which 10 are allowed'}
    assert requirements.excess({'latency_ms': 12.5, 'params_m': 5}) == 0.25 + 0.25
    assert requirements.excess({'latency_ms': 5}) == 0
    with pytest.raises(ValueError, match="no indicator is called 'watts'; expected some of latency_ms"):
        Requirements({'watts': 3})
    with pytest.raises(ValueError, match='the limit of latency_ms is 0; expected a number above 0'):
        Requirements({'latency_ms': 0})


def test_netscore_by_hand():
    # 20 log10(50^2 / sqrt(4 * 25)) = 20 log10(250)
    assert netscore(50, 4, 25) == pytest.approx(47.9588, abs=1e-4)
    assert netscore(55, 4, 25) - netscore(50, 4, 25) == pytest.approx(40 * math.log10(1.1))
    assert netscore(0, 4, 25) == -math.inf
