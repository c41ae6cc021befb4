"""Supernets trained and scored as users do it."""

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from projects.architecture_search.space import GrowSpace
from projects.architecture_search.supernet import SupernetScores, save_network, supernet_config
from projects.sample_data import use_sample
from projects.training import launch
from projects.training.checkpoints import read_weights
from projects.training.config import load_config
from projects.training.run_length import length_of

SMALL = {'model.neck.out_channels': 16, 'model.decode_head.channels': 16}
ADE20K, LENGTH = 'configs/mixer_softmax_fpn_ade20k.py', 4


def space_of(stem_strides=(4, 8), **options):
    values = {
        'dims': ((32, 64), (32,), (32, 64), (32,)),
        'depths': ((1,), (1, 2), (1,), (1,)),
        'mixers': (('convolution',), ('convolution', 'window'), ('softmax',), ('softmax',)),
        'image_size': (128, 128),
    }
    return GrowSpace(('fp32',), (1.0, 0.5), **(values | options), stem_strides=stem_strides)


def task(data, options=SMALL):
    return load_config(ADE20K, options, lambda cfg: use_sample(cfg, data, tiny=True))


def trained(cfg, space, folder, length, resume=None):
    shared = supernet_config(cfg, space, length)
    shared.default_hooks.checkpoint = {'type': 'CheckpointHook', 'by_epoch': False, 'interval': length // 2 or 1}
    launch.set_up(shared, folder)
    launch.train(shared, resume)
    return folder / f'iter_{length}.pth'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return tmp_path_factory.mktemp('data')


@pytest.fixture(scope='module')
def checkpoint(data, tmp_path_factory):
    return trained(task(data), space_of(), tmp_path_factory.mktemp('whole'), LENGTH)


@pytest.fixture(scope='module')
def scores(data, checkpoint):
    return SupernetScores(task(data), space_of(), checkpoint, 'aAcc')


def test_a_resumed_training_equals_one_that_was_not_interrupted(data, checkpoint, tmp_path):
    shutil.copy(checkpoint.with_name(f'iter_{LENGTH // 2}.pth'), tmp_path)
    resumed = read_weights(trained(task(data), space_of(), tmp_path, LENGTH, resume='auto'))
    expected, before = read_weights(checkpoint), read_weights(tmp_path / f'iter_{LENGTH // 2}.pth')
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())
    assert not all(torch.equal(before[name], value) for name, value in expected.items())


def test_a_training_follows_the_recipe(data):
    cfg = task(data)
    length = length_of(cfg)
    shared = supernet_config(cfg, space_of(), 10)
    assert (length_of(shared), length_of(cfg)) == (10, length)
    assert shared.optim_wrapper == cfg.optim_wrapper
    assert shared.train_dataloader == cfg.train_dataloader
    assert shared.val_dataloader is shared.test_evaluator is None
    assert cfg.val_dataloader is not None
    assert 'projects.architecture_search.supernet' in shared.custom_imports.imports
    assert 'projects.architecture_search.supernet' not in cfg.custom_imports.imports


def test_its_config_survives_a_file(data, checkpoint, tmp_path):
    file = tmp_path / 'supernet.py'
    file.write_text(supernet_config(task(data), space_of(), LENGTH).pretty_text)
    again = trained_from(load_config(file), tmp_path / 'run')
    expected = read_weights(checkpoint)
    assert all(torch.equal(value, expected[name]) for name, value in read_weights(again).items())


def trained_from(cfg, folder):
    cfg.default_hooks.checkpoint = {'type': 'CheckpointHook', 'by_epoch': False, 'interval': LENGTH}
    launch.set_up(cfg, folder)
    launch.train(cfg)
    return folder / f'iter_{LENGTH}.pth'


def test_a_score_is_that_of_the_network_as_a_file(data, scores, tmp_path):
    space = scores.space
    point = {**space.extreme(largest=False), 'image_scale': 1.0, 'mixer2': 'window'}
    found = scores.score(point)
    assert scores.score(point) == found
    save_network(scores.network(point), tmp_path / 'network.pth')
    backbone = {**space.options(point)['model.backbone'], '_delete_': True}
    leaf = task(data, SMALL | {'model.backbone': backbone})
    launch.set_up(leaf, tmp_path / 'test')
    assert launch.test(leaf, tmp_path / 'network.pth', augment=False)['aAcc'] == found


def test_images_are_scaled_as_the_point_says(scores):
    point = scores.space.extreme(largest=True)
    assert 0 <= scores.score({**point, 'image_scale': 0.5}) <= 100
    heights = [scores._data_at(scale).validation_batches[0]['inputs'][0].shape[1] for scale in (1.0, 0.5)]
    assert heights[0] == 2 * heights[1]


def test_what_does_not_belong_together_is_refused(data, checkpoint, scores, tmp_path):
    with pytest.raises(ValueError, match=r'holds the networks of another space than this, whose choices are .*Train'):
        SupernetScores(task(data), space_of(stem_strides=(4,)), checkpoint, 'aAcc')
    with pytest.raises(ValueError, match=r'does not fit the model of .*other classes or another head'):
        SupernetScores(task(data, SMALL | {'model.neck.out_channels': 24}), space_of(), checkpoint, 'aAcc')
    save_network(torch.nn.Linear(2, 2), tmp_path / 'single.pth')
    with pytest.raises(ValueError, match=r'single\.pth is no checkpoint of a supernet, but of a single network'):
        SupernetScores(task(data), space_of(), tmp_path / 'single.pth', 'aAcc')
    with pytest.raises(ValueError, match=r'stem_stride is 16; expected one of 4, 8'):
        scores.score({**scores.space.extreme(largest=True), 'stem_stride': 16})
    other = SupernetScores(task(data), space_of(), checkpoint, 'building/f1')
    with pytest.raises(ValueError, match=r"gives no score 'building/f1'; expected one of aAcc, mIoU, mAcc"):
        other.score(scores.space.extreme(largest=False))
    accumulating = task(data)
    accumulating.optim_wrapper.accumulative_counts = 2
    with pytest.raises(ValueError, match=r'accumulative_counts is 2; a supernet averages .* expects 1'):
        supernet_config(accumulating, space_of())


@pytest.mark.parametrize(
    ('config', 'options', 'key'),
    [
        ('configs/mixer_softmax_maskrcnn_coco.py', {}, 'coco/segm_mAP'),
        (
            'configs/buildings/shvit_unet_scenes_student.py',
            {'model.backbone': {'type': 'MixerPyramid', 'arch': 'tiny', '_delete_': True}},
            'building/f1',
        ),
    ],
)
def test_detectors_and_unets_are_trained_and_scored(config, options, key, tmp_path):
    cfg: Config = load_config(config, options, lambda cfg: use_sample(cfg, tmp_path / 'data', tiny=True))
    space = space_of(stem_strides=(4,) if 'coco' in config else (4, 8))
    shared = supernet_config(cfg, space)
    shared.default_hooks.checkpoint = {'type': 'CheckpointHook', 'by_epoch': 'coco' in config, 'interval': 1}
    launch.set_up(shared, tmp_path / 'supernet')
    launch.train(shared)
    [file] = Path(tmp_path / 'supernet').glob('*_1.pth')
    scores = SupernetScores(cfg, space, file, key, num_batches=1)
    point = {**space.extreme(largest=False), 'mixer2': 'window'}
    assert 0 <= scores.score(point) <= 100
