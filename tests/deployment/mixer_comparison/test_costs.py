import pytest

from projects.deployment.benchmark.timing import Quartiles
from projects.deployment.mixer_comparison.costs import Cost, Plan, count_macs, growth
from projects.deployment.mixer_comparison.tables import stopped, time_table
from projects.efficient_models.backbones.mixer_pyramid import MAX_SCORE_BYTES


def cost(tokens, ms, mixer='softmax', kernels='eager'):
    return Cost(mixer, tokens, kernels, Quartiles(ms, ms, ms), None)


def test_what_does_not_fit_in_memory_is_stopped():
    plan = Plan(mixers=('softmax',))
    # 128 channels are four heads, and a score takes four bytes
    assert plan.too_large() == {'softmax': {16384: 4 * 16384**2 * 4}}
    assert MAX_SCORE_BYTES > 4 * 4096**2 * 4
    assert stopped(plan) == [
        'Softmax attention: at 16,384 tokens its scores take 4096 MiB, of which 1024 MiB are accepted.'
    ]


def test_growth_is_the_power_between_the_two_largest_maps():
    assert growth([cost(256, 9.0), cost(4096, 64.0), cost(1024, 4.0)]) == pytest.approx(2)
    assert growth([cost(256, 1.0)]) is None


def test_a_table_tells_what_was_stopped_from_what_was_not_measured():
    plan = Plan(mixers=('softmax',), tokens=(256, 1024, 16384))
    table = time_table(plan, [cost(256, 1.25), cost(256, 7.0, kernels='openvino')], 'eager')
    assert [list(row) for row in table.rows] == [['Softmax attention', '1.25', '–', 'stopped', '–']]


def test_macs_are_those_of_the_formula():
    assert count_macs('softmax', 32, 16) == 4 * 16 * 32**2 + 2 * 16**2 * 32


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'mixers': ('softmaks',)}, 'unknown softmaks; expected some of softmax'),
        ({'kernels': ('cuda',)}, 'unknown cuda; expected some of eager'),
        ({'kernels': ('eager-fp16',)}, 'unknown eager-fp16; expected some of eager'),
        ({'device': 'cuda', 'kernels': ('openvino',)}, 'unknown openvino; expected some of eager'),
        ({'mixers': ('softmax', 'softmax')}, r"mixers are \['softmax', 'softmax'\]; expected one or more, each once"),
        ({'tokens': ()}, r'tokens are \[\]; expected one or more'),
        ({'channels': 100}, 'must divide its 100 channels'),
        ({'tokens': (256, 1000)}, r'tokens are \[1000\]; expected squares'),
    ],
)
def test_bad_plans(options, message):
    with pytest.raises(ValueError, match=message):
        Plan(**{'mixers': ('softmax',), **options})
