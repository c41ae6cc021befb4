"""What the command line overrides in a study file."""

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
