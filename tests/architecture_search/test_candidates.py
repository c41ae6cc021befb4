import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from projects.architecture_search.candidates import Candidate, candidate_of, leaf_config
from projects.architecture_search.held_out import hold_out
from projects.sample_data import use_sample
from projects.training.config import ROOT, load_config

FPN = 'configs/mixer_softmax_fpn_ade20k.py'


def nothing(cfg):
    pass


def test_options_replace_dicts_whole(select):
    point = {'backbone': 's1', 'neck': '64', 'image_scale': 0.5, 'precision': 'bf16'}
    candidate = candidate_of(select, FPN, point, {'model.decode_head.channels': 96})
    cfg = candidate.config_of(nothing)
    assert cfg.model.backbone == {'type': 'SHViT', 'arch': 's1', 'out_indices': [2, 3, 4, 5]}  # no mixers are left
    assert (cfg.model.neck.out_channels, cfg.model.decode_head.channels) == (64, 96)
    assert cfg.model.data_preprocessor.size == (256, 256)
    assert Candidate.from_json(candidate.to_json()) == candidate
    assert candidate.name == 's1 64 0.5 bf16'


def test_what_is_trained_and_what_is_deployed(select):
    point = select.at(0)
    fp32, bf16 = (candidate_of(select, FPN, {**point, 'precision': name}, {}) for name in ('fp32', 'bf16'))
    assert fp32.trained == bf16.trained
    assert fp32.deployed != bf16.deployed
    assert fp32.trained != candidate_of(select, FPN, {**point, 'image_scale': 1.0}, {}).trained
    assert fp32.trained != candidate_of(select, FPN, point, {'model.decode_head.channels': 96}).trained


def test_preparation_comes_before_the_image_scale(select):
    point = {'backbone': 'tiny', 'neck': '256', 'image_scale': 0.5, 'precision': 'bf16'}
    cfg = candidate_of(select, FPN, point, {}).config_of(use_sample)
    assert cfg.model.data_preprocessor.size == (64, 64)  # the sample's are of 128 pixels
    assert cfg.model.backbone.pretrained is False


@pytest.mark.parametrize('index', [0, 5, 12])
def test_a_leaf_config_makes_the_same_network(select, tmp_path, index):
    candidate = candidate_of(select, FPN, select.at(index), {})
    changed = candidate.config_of(use_sample)
    base = load_config(FPN)
    leaf = tmp_path / 'best.py'
    leaf.write_text(leaf_config(base, changed, str(ROOT / FPN), 'Found.'))
    assert str(ROOT) not in leaf.read_text().replace(str(ROOT / FPN), '')  # data are named from the project's folder
    expected, found = (
        json.loads(json.dumps(cfg.to_dict()).replace(f'{ROOT}/', '')) for cfg in (changed, load_config(leaf))
    )
    for key in ('model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'optim_wrapper', 'train_cfg'):
        assert found[key] == expected[key], key
    assert found['param_scheduler'] == expected['param_scheduler']
    assert all(len(line) <= 120 for line in leaf.read_text().splitlines()[3:])


def test_a_leaf_config_of_a_grown_network_can_be_read(grow, tmp_path):
    point = grow.random(np.random.default_rng(0))
    changed = candidate_of(grow, FPN, point, {}).config_of(use_sample)  # its base names what the leaf describes
    (tmp_path / 'best.py').write_text(leaf_config(load_config(FPN), changed, str(ROOT / FPN), 'Found.'))
    assert load_config(tmp_path / 'best.py').model.backbone == changed.model.backbone


def test_a_leaf_config_says_what_differs_alone():
    base = Config({'model': {'type': 'A', 'neck': {'type': 'B', 'width': 1, 'kept': 2}}, 'seed': 0, 'same': [1]})
    changed = Config({'model': {'type': 'A', 'neck': {'type': 'B', 'width': 3, 'kept': 2}}, 'seed': 1, 'same': [1]})
    assert leaf_config(base, changed, 'base.py', 'T') == (
        '"""T"""\n\n_base_ = \'base.py\'\n\nmodel = dict(neck=dict(width=3))\nseed = 1\n'
    )
    named = Config({'model': {'type': 'A', 'neck': 'tiny'}, 'seed': 0, 'same': [1]})
    assert "neck=dict(_delete_=True, type='B', width=1, kept=2)" in leaf_config(named, base, 'base.py', 'T')
    other = Config({'model': {'type': 'A', 'neck': {'type': 'C', 'depth': (3,)}}, 'seed': 0, 'same': [1]})
    assert "neck=dict(_delete_=True, type='C', depth=(3,))" in leaf_config(base, other, 'base.py', 'T')


def test_images_are_held_out_of_a_segmentation_set(tmp_path):
    cfg = load_config(FPN)
    use_sample(cfg)
    test_set = cfg.test_dataloader.to_dict()
    hold_out(cfg, tmp_path, share=0.25, seed=3)
    trained, held = cfg.train_dataloader.dataset.indices, cfg.val_dataloader.dataset.indices
    assert sorted([*trained, *held]) == list(range(128))
    assert len(held) == 32
    assert np.diff(held).max() > 1  # drawn, not cut off
    assert cfg.val_dataloader.dataset.data_prefix == cfg.train_dataloader.dataset.data_prefix
    assert [t.type for t in cfg.val_dataloader.dataset.pipeline][:2] == ['LoadImage', 'Resize']
    assert cfg.test_dataloader.to_dict() == test_set
    again = load_config(FPN)
    use_sample(again)
    hold_out(again, tmp_path, share=0.25, seed=3)
    assert again.val_dataloader.dataset.indices == held


def test_images_are_held_out_of_a_coco_set(tmp_path):
    cfg = load_config('configs/mixer_softmax_maskrcnn_coco.py')
    use_sample(cfg)
    whole = json.loads((ROOT / cfg.data_root / 'annotations/instances_train2017.json').read_text())
    hold_out(cfg, tmp_path, share=0.25)
    train, held = (
        json.loads(Path(cfg[f'{part}_dataloader'].dataset.ann_file).read_text()) for part in ('train', 'val')
    )
    ids = [{image['id'] for image in part['images']} for part in (train, held)]
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] == {image['id'] for image in whole['images']}
    assert len(train['annotations']) + len(held['annotations']) == len(whole['annotations'])
    assert {one['image_id'] for one in held['annotations']} <= ids[1]
    assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file
    assert 'filter_cfg' not in cfg.val_dataloader.dataset  # images without objects are scored, too
    assert held['categories'] == whole['categories']


@pytest.mark.parametrize(
    ('share', 'message'), [(0, 'between 0 and 1, got 0'), (0.001, r'128 images .* leaves 128 and 0')]
)
def test_parts_that_are_too_small_are_refused(tmp_path, share, message):
    cfg = load_config(FPN)
    use_sample(cfg)
    with pytest.raises(ValueError, match=message):
        hold_out(cfg, tmp_path, share)


def test_sets_of_several_sets_are_refused(tmp_path):
    cfg = load_config('configs/buildings/shvit_unet_scenes_mixed.py')
    with pytest.raises(ValueError, match='made of several data sets: a search takes a config that trains on one'):
        hold_out(cfg, tmp_path, 0.25)
