"""What the command line changes of validation reaches what the config file copied from it."""

from functools import cache
from pathlib import Path

import pytest

from projects.training import config
from projects.training.config import ROOT, load_config, read_config
from projects.training.config_copies import with_copies

LEAVES = sorted(
    path
    for path in [*(ROOT / 'configs').glob('*.py'), *(ROOT / 'configs' / 'buildings').glob('*_*_*.py')]
    if '_base_' in path.read_text()
)
CONFIG = {
    'val_dataloader': {
        'batch_size': 1,
        'dataset': {
            'type': 'Set',
            'data_root': 'data',
            'ann_file': 'val.json',
            'label': 'roof',
            'pipeline': [{'type': 'Load'}, {'type': 'Resize', 'scale': (64, 32)}],
        },
    },
    'test_dataloader': {
        'batch_size': 1,
        'dataset': {
            'type': 'Set',
            'data_root': 'data',
            'ann_file': 'test.json',
            'label': 'roof',
            'pipeline': [{'type': 'Load'}, {'type': 'Resize', 'scale': (64, 32)}],
        },
    },
    'val_evaluator': [{'type': 'Scores', 'ann_file': 'data/val.json', 'label': 'roof', 'metric': 'bbox'}],
    'test_evaluator': [{'type': 'Scores', 'ann_file': 'data/test.json', 'label': 'roof', 'metric': 'bbox'}],
    'tta_pipeline': [
        {'type': 'Load'},
        {'type': 'TestTimeAug', 'transforms': [[{'scale': (32, 16)}, {'scale': (64, 32)}], [{'type': 'Pack'}]]},
    ],
}
SCALE = 'dataloader.dataset.pipeline.1.scale'


def added(options, config=CONFIG):
    return {key: value for key, value in with_copies(config, options).items() if key not in options}


def test_a_size_of_validation_is_that_of_the_test_and_in_proportion_of_the_augmentation():
    assert added({f'val_{SCALE}': (96, 96)}) == {
        f'test_{SCALE}': (96, 96),
        'tta_pipeline.1.transforms.0.0.scale': (48, 48),
        'tta_pipeline.1.transforms.0.1.scale': (96, 96),
    }


def test_what_is_set_of_the_test_stands():
    assert added({f'val_{SCALE}': (96, 96), f'test_{SCALE}': (64, 32), 'tta_pipeline': []}) == {}
    assert added({f'val_{SCALE}': (96, 96), 'test_dataloader.dataset': {}, 'tta_pipeline': []}) == {}


def test_the_test_does_not_change_validation():
    assert not [key for key in added({f'test_{SCALE}': (96, 96)}) if key.startswith('val_')]


def test_what_differs_on_purpose_stays_different():
    assert added({'val_dataloader.dataset.ann_file': 'other.json'}) == {'val_evaluator.0.ann_file': 'data/other.json'}
    other = CONFIG | {
        'test_dataloader': {'dataset': {'pipeline': [{'type': 'Load'}, {'type': 'Pad', 'scale': (64, 32)}]}}
    }
    assert added({f'val_{SCALE}': (96, 96)}, other) == {}


def test_new_keys_reach_the_test():
    assert added({'val_dataloader.dataset.indices': 4}) == {'test_dataloader.dataset.indices': 4}
    assert added({'val_evaluator.0.classwise': True}) == {'test_evaluator.0.classwise': True}


def test_evaluators_follow_their_data_set():
    assert added({'val_dataloader.dataset.label': 'footprint'}) == {
        'test_dataloader.dataset.label': 'footprint',
        'val_evaluator.0.label': 'footprint',
        'test_evaluator.0.label': 'footprint',
    }
    assert added({'val_dataloader.dataset.data_root': '/new'}) == {
        'test_dataloader.dataset.data_root': '/new',
        'val_evaluator.0.ann_file': '/new/val.json',
        'test_evaluator.0.ann_file': '/new/test.json',
    }


def test_validation_that_is_switched_off_leaves_the_test():
    assert added({'val_dataloader': None, 'val_evaluator': None, 'val_cfg': None}) == {}


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_every_config_tests_at_the_size_of_its_validation(path, monkeypatch):
    monkeypatch.setattr(config, 'read_config', cache(config.read_config))  # once for both
    cfg = load_config(path)
    pipelines = [cfg[f'{split}_dataloader'].dataset.pipeline for split in ('val', 'test')]
    assert pipelines[0] == pipelines[1]
    sizes = [
        (index, step.scale) for index, step in enumerate(pipelines[0]) if step.type == 'Resize' and 'scale' in step
    ]
    options = {
        f'val_dataloader.dataset.pipeline.{index}.scale': (scale[0] // 2, scale[1] // 2) for index, scale in sizes
    }
    cfg = load_config(path, options | {'val_dataloader.dataset.data_root': '/elsewhere'})
    for index, scale in sizes:
        assert cfg.test_dataloader.dataset.pipeline[index].scale == (scale[0] // 2, scale[1] // 2)
        assert cfg.test_dataloader.dataset.pipeline == cfg.val_dataloader.dataset.pipeline
        for step in cfg.get('tta_pipeline') or []:
            if step.type == 'TestTimeAug':
                assert (scale[0] // 2, scale[1] // 2) in [resize.scale for resize in step.transforms[0]]
    for split in ('val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == '/elsewhere'
        evaluators = cfg[f'{split}_evaluator']
        for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
            if 'ann_file' in evaluator:
                assert evaluator.ann_file == str(Path('/elsewhere', cfg[f'{split}_dataloader'].dataset.ann_file))


BASE = """
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type='Set',
        data_root='data',
        ann_file='val.json',
        pipeline=[dict(type='Load'), dict(type='Resize', scale=(64, 32))],
    ),
)
val_evaluator = dict(type='Scores', ann_file='data/val.json', metric='bbox')
test_dataloader, test_evaluator = val_dataloader, val_evaluator
tta_pipeline = [dict(type='TestTimeAug', transforms=[[dict(scale=(32, 16)), dict(scale=(64, 32))]])]
model = dict(type='Model')
"""


def read_based(tmp_path, *texts):
    """The config of the last text; each is based on the one before it."""
    for number, text in enumerate((BASE, *texts)):
        path = tmp_path / f'{number}.py'
        path.write_text(f"_base_ = ['{number - 1}.py']\n{text}" if number else text)
    return read_config(path).to_dict()


def sizes(content, split):
    return [step.get('scale') for step in content[f'{split}_dataloader']['dataset']['pipeline']]


PIPELINE = "pipeline = [dict(type='Load'), dict(type='Resize', scale=(128, 64))]\n"


@pytest.mark.parametrize('later', [[], ['val_dataloader = dict(num_workers=2)\nmodel = dict(depth=3)']])
def test_what_a_config_changes_of_its_bases_validation_reaches_the_test(tmp_path, later):
    own = f'{PIPELINE}val_dataloader = dict(batch_size=2, dataset=dict(ann_file="few.json", pipeline=pipeline))\n'
    content = read_based(tmp_path, own, *later)
    assert content['test_dataloader'] == content['val_dataloader']
    assert (content['test_dataloader'].get('num_workers'), content['test_dataloader']['batch_size']) == (
        2 if later else None,
        2,
    )
    assert sizes(content, 'test') == [None, (128, 64)]
    assert content['test_evaluator'] == {'type': 'Scores', 'ann_file': 'data/few.json', 'metric': 'bbox'}
    assert content['tta_pipeline'][0]['transforms'] == [[{'scale': (64, 32)}, {'scale': (128, 64)}]]


def test_what_a_config_sets_of_the_test_stands(tmp_path):
    own = f'{PIPELINE}val_dataloader = dict(dataset=dict(pipeline=pipeline))\n'
    short = own + "test_dataloader = dict(dataset=dict(pipeline=[dict(type='Load')]))\n"
    assert sizes(read_based(tmp_path, short), 'test') == [None]
    assert sizes(read_based(tmp_path, short), 'val') == [None, (128, 64)]
    later = (
        'test_dataloader = dict(dataset=dict(ann_file="test.json"))\ntest_evaluator = dict(ann_file="data/test.json")'
    )
    content = read_based(tmp_path, later, own)
    assert content['test_dataloader']['dataset']['ann_file'] == 'test.json'
    assert sizes(content, 'test') == [None, (128, 64)]
    assert content['val_evaluator']['ann_file'] == 'data/val.json'


def test_what_a_config_replaces_or_switches_off(tmp_path):
    other = "val_dataloader = dict(_delete_=True, batch_size=3, dataset=dict(type='Other'))\n"
    assert read_based(tmp_path, other)['test_dataloader'] == {'batch_size': 3, 'dataset': {'type': 'Other'}}
    content = read_based(tmp_path, 'val_dataloader = val_evaluator = val_cfg = None\n')
    assert content['test_dataloader']['batch_size'] == 1
    assert content['test_evaluator']['metric'] == 'bbox'


def test_a_config_without_bases_or_changes_is_as_it_is_written(tmp_path):
    assert read_based(tmp_path, 'model = dict(depth=3)')['model'] == {'type': 'Model', 'depth': 3}
    labels = [f'val_dataloader = dict(dataset=dict(label_map={{1: {index}}}))' for index in (4, 5)]
    assert read_based(tmp_path, *labels)['test_dataloader']['dataset']['label_map'] == {1: 5}
    (tmp_path / 'alone.py').write_text(
        BASE.replace('test_dataloader, test_evaluator = val_dataloader, val_evaluator', '')
    )
    assert 'test_dataloader' not in read_config(tmp_path / 'alone.py')
    content = read_based(tmp_path, 'test_dataloader = None', 'test_dataloader = dict(_delete_=True, batch_size=4)')
    assert (content['val_dataloader']['batch_size'], content['test_dataloader']) == (1, {'batch_size': 4})
