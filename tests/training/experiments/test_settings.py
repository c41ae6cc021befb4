"""What the command line overrides in a study file."""

import pytest

from projects.training.experiments.settings import read_settings

FILE = """
options = {'train_cfg.max_iters': 9, 'train_cfg.val_interval': 3}
methods = dict(kd=dict(options={'model.alpha': 0.5}), sda=dict(config='sda.py'))
gsd_m = 0.3
"""


def test_an_option_is_overridden_by_its_dotted_name_and_the_others_stay(tmp_path):
    (tmp_path / 'study.py').write_text(FILE)
    overrides = {
        'options.train_cfg.max_iters': 4,
        'options.model.train_cfg': 1,
        'methods.kd.options.model.alpha': 0.9,
        'methods.sda.options.model.alpha': 0.1,
        'methods.sda.config': 'other.py',
        'gsd_m': 0.6,
    }
    assert read_settings(tmp_path / 'study.py', overrides) == {
        'options': {'train_cfg.max_iters': 4, 'train_cfg.val_interval': 3, 'model.train_cfg': 1},
        'methods': {
            'kd': {'options': {'model.alpha': 0.9}},
            'sda': {'config': 'other.py', 'options': {'model.alpha': 0.1}},
        },
        'gsd_m': 0.6,
    }


@pytest.mark.parametrize(
    ('key', 'value', 'expected'),
    [
        ('methods', '', "methods is ''; expected settings of it, such as methods.kd=VALUE"),
        ('methods.kd', 3, 'methods.kd is 3; expected settings of it, such as methods.kd.options=VALUE'),
        ('options', 'x', "options is 'x'; expected settings of it, such as options.train_cfg.max_iters=VALUE"),
    ],
)
def test_a_value_does_not_stand_for_a_group_of_settings(tmp_path, key, value, expected):
    (tmp_path / 'study.py').write_text(FILE)
    with pytest.raises(ValueError, match=expected):
        read_settings(tmp_path / 'study.py', {key: value})


def test_a_group_of_settings_can_be_left_out(tmp_path):
    (tmp_path / 'study.py').write_text(FILE)
    assert read_settings(tmp_path / 'study.py', {'methods.kd': None})['methods'] == {
        'kd': None,
        'sda': {'config': 'sda.py'},
    }
