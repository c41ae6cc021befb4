"""The leaf configs, trained for a step on tiles of 64 px, one after the other as a user would."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from projects.training.config import load_config
from projects.training.launch import set_up, train
from projects.training.launch import test as score

ROOT = Path(__file__).parents[3]
LEAVES = ROOT / 'configs' / 'buildings'
TEACHER, STUDENT, MIXED, SDA, GRADUAL, KD, DML = (
    f'shvit_unet_scenes_{name}' for name in ('teacher', 'student', 'mixed', 'sda', 'sda_gradual', 'kd', 'dml')
)
SMALL = {
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1,
    'train_dataloader.batch_size': 2,
    'default_hooks.visualization.num_pictures': 1,
    'custom_hooks': [],
    'model.backbone.arch': 's1',
    'model.backbone.pretrained': False,
    'model.decode_head.decoder_options': {'decoder_channels': [16] * 6},
    **{
        f'{split}_dataloader.{key}': value
        for split in ('train', 'val', 'test')
        for key, value in {
            'num_workers': 0,
            'persistent_workers': False,
            'dataset.serialize_data': False,  # it collects garbage, for half a second
        }.items()
    },
}


def write_tiles(root):
    rng = np.random.default_rng(0)
    for split, number in {'source': 4, 'target': 2, 'val': 1, 'test': 1}.items():
        for index in range(number):
            mask = np.zeros((64, 64), np.uint8)
            mask[10:40, 20:50] = 255
            images = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
            arrays = {'images': images, 'masks': mask, 'instances': (mask // 255).astype(np.uint16)}
            for folder, array in arrays.items():
                path = root / split / folder / f'{index}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array)
            path = root / split / 'buildings' / f'{index}.json'
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps([{'instance': 1, 'height_m': 20.0}]))


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    root = tmp_path_factory.mktemp('transfer')
    write_tiles(root / 'scenes')
    return root


def prepared(work, name, **options):
    options = SMALL | {'data_root': str(work / 'scenes')} | options
    cfg = load_config(LEAVES / f'{name}.py', options)
    set_up(cfg, work / name)
    return cfg


@pytest.fixture(scope='module')
def trained(work):
    """Checkpoint and config of a leaf, trained once, after the teacher if it needs one."""
    done = {}

    def get(name):
        if name not in done:
            options = {}
            if name in (SDA, GRADUAL):
                options = {'load_from': str(get(TEACHER)[0])}
            if name == KD:
                checkpoint, cfg = get(TEACHER)
                config = work / 'teacher.py'
                cfg.dump(config)
                options = {'model.teacher.config': str(config), 'model.teacher.checkpoint': str(checkpoint)}
            cfg = prepared(work, name, **options)
            scores = train(cfg)
            assert scores
            done[name] = work / name / 'iter_1.pth', cfg
        return done[name]

    return get


@pytest.mark.parametrize('name', [TEACHER, STUDENT, MIXED, SDA, GRADUAL, KD, DML])
def test_a_leaf_trains_an_ordinary_network_and_is_scored(work, trained, name):
    checkpoint, _ = trained(name)
    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    ordinary = MODELS.build({**trained(STUDENT)[1].model})
    ordinary.load_state_dict(weights, strict=True)
    if name in (KD, DML):
        scores = score(prepared(work, name), checkpoint, augment=False)
        as_student = score(prepared(work, STUDENT), checkpoint, augment=False)
        assert {key: value for key, value in scores.items() if 'time' not in key} == {
            key: value for key, value in as_student.items() if 'time' not in key
        }


@pytest.mark.parametrize('name', [SDA, KD])
def test_a_missing_teacher_is_named_with_its_command(work, name):
    missing = {'load_from': 'work_dirs/none/iter_1.pth'} if name == SDA else {}
    missing = missing or {'model.teacher.checkpoint': 'work_dirs/none/iter_1.pth'}
    with pytest.raises(FileNotFoundError, match=f'python tools/train.py configs/buildings/{TEACHER}.py'):
        train(prepared(work, name, **missing))


def test_the_command_that_makes_the_teacher_of_a_sample_says_so(work):
    missing = {'load_from': 'work_dirs/none_sample/iter_1.pth'}
    with pytest.raises(FileNotFoundError, match=f'python tools/train.py configs/buildings/{TEACHER}.py --sample'):
        train(prepared(work, SDA, **missing))


def test_adaptation_begins_with_the_teacher_even_if_it_is_scored_first(work, trained):
    """mmengine initialises the weights anew when training begins."""
    checkpoint, _ = trained(TEACHER)
    options = {'load_from': str(checkpoint), 'optim_wrapper.optimizer.lr': 0.0}
    cfg = prepared(work, SDA, **options)
    set_up(cfg, work / 'scored_first')
    train(cfg, validate_first=True)
    before = torch.load(checkpoint, weights_only=False)['state_dict']
    after = torch.load(work / 'scored_first' / 'iter_1.pth', weights_only=False)['state_dict']
    changed = [name for name, weight in before.items() if not torch.equal(weight, after[name])]
    assert changed
    assert all('running_' in name or 'num_batches' in name for name in changed)  # the norms of one step


@pytest.mark.parametrize(('name', 'find'), [(SDA, lambda c: c.load_from), (KD, lambda c: c.model.teacher.checkpoint)])
def test_the_teacher_is_expected_where_its_config_leaves_it(name, find):
    teacher = Config.fromfile(LEAVES / f'{TEACHER}.py')
    assert find(Config.fromfile(LEAVES / f'{name}.py')) == f'work_dirs/{TEACHER}/iter_{teacher.train_cfg.max_iters}.pth'
    assert teacher.train_cfg.max_iters % teacher.default_hooks.checkpoint.interval == 0


def test_all_leaves_train_the_same_network():
    networks = []
    for name in (TEACHER, STUDENT, MIXED, SDA, GRADUAL, KD, DML):
        model = Config.fromfile(LEAVES / f'{name}.py').model
        networks.append({key: model[key] for key in ('backbone', 'decode_head', 'data_preprocessor', 'test_cfg')})
    assert all(network == networks[0] for network in networks)


def test_gradual_fine_tuning_reaches_the_stem_before_the_end():
    cfg = Config.fromfile(LEAVES / f'{GRADUAL}.py')
    init_default_scope('mmseg')
    cfg.model.backbone.pretrained = False
    num_parts = len(MODELS.build(cfg.model).backbone.stem_and_stages())
    assert cfg.default_hooks.gradual.phase_iters * num_parts < cfg.train_cfg.max_iters


TWINS = [
    path for path in sorted(LEAVES.glob('efficientnet_lite0_unet_*.py')) if (LEAVES / f'shvit{path.name[18:]}').exists()
]


@pytest.mark.parametrize('path', TWINS, ids=lambda path: path.stem)
def test_leaves_of_two_networks_differ_in_the_network_alone(path):
    """And in the normalisation, with which the weights were trained; so that their scores compare."""

    def comparable(name):
        cfg = Config.fromfile(LEAVES / f'{name}.py').to_dict()
        network = cfg['model'].pop('data_preprocessor'), cfg['model'].pop('backbone')
        for key in ('in_channels', 'strides'):
            cfg['model']['decode_head'].pop(key)
        return str(cfg), network

    own, (preprocessor, backbone) = comparable(path.stem)
    twins, _ = comparable(path.stem.replace('efficientnet_lite0', 'shvit'))
    assert own.replace('efficientnet_lite0_unet', 'shvit_unet') == twins
    stated = timm.get_pretrained_cfg(backbone['arch'])
    assert preprocessor['mean'] == [255 * value for value in stated.mean]
    assert preprocessor['std'] == [255 * value for value in stated.std]
