"""Parts of the grid become runs."""

from pathlib import Path
from pkgutil import resolve_name

import pytest
import timm
from mmengine.config import Config

import projects.efficient_models
import projects.openmmlab_compat  # noqa: F401
from projects.building_extraction.network_ranking.grid import AXES, match_head_to_backbone, plan_grid, read_grid
from projects.training.levels import read_levels

GRID = Path(__file__).parents[3] / 'configs' / 'buildings' / 'grid.py'


@pytest.fixture
def grid():
    return read_grid(GRID)


def test_the_grid_has_the_size_of_the_paper_and_timm_knows_its_encoders(grid):
    assert [len(set(getattr(grid, axis))) for axis in AXES] == [43, 7, 9, 5]
    assert set(grid.encoders) <= set(timm.list_models())


def test_an_axis_that_is_not_given_keeps_its_default_and_all_means_all(grid):
    runs = plan_grid(grid, {'encoders': ['resnet18', 'mixnet_s'], 'losses': ['all']})
    assert len(runs) == len({run.name for run in runs}) == 18
    assert {run.about['decoder'] for run in runs} == {'Unet'}
    assert [run.about for run in runs][-1] == {
        'encoder': 'mixnet_s',
        'decoder': 'Unet',
        'loss': 'total',
        'optimizer': 'Adam',
        'seed': 0,
    }


def test_a_run_sets_what_it_says(grid):
    chosen = {'encoders': ['dpn68'], 'decoders': ['FPN'], 'losses': ['bce+dice'], 'optimizers': ['SGD']}
    (run,) = plan_grid(grid, chosen)
    assert run.name == 'dpn68_FPN_bce-dice_SGD'
    assert run.options['model.backbone'] == {
        '_delete_': True,
        'type': 'TimmBackbone',
        'arch': 'dpn68',
        'pretrained': True,
    }
    assert run.options['model.decode_head.decoder'] == 'FPN'
    assert run.options['model.decode_head.loss_decode.name'] == 'bce+dice'
    assert run.options['optim_wrapper.optimizer'] == {'_delete_': True, 'type': 'SGD', 'lr': 1e-2, 'momentum': 0.9}
    assert resolve_name(run.adapt) is match_head_to_backbone


def test_an_unknown_name_is_refused_with_similar_ones(grid):
    with pytest.raises(ValueError, match=r"encoders: no 'resnet19' in the grid; did you mean one of \['resnet18'"):
        plan_grid(grid, {'encoders': ['resnet19']})


def test_a_grid_with_an_unknown_key_is_refused(tmp_path):
    path = tmp_path / 'grid.py'
    path.write_text(GRID.read_text() + '\ncolour = 1\n')
    with pytest.raises(ValueError, match='colour'):
        read_grid(path)


def test_the_command_line_overrides_one_option_and_keeps_the_others(tmp_path):
    path = tmp_path / 'grid.py'
    path.write_text(f"_base_ = '{GRID}'\noptions = {{'train_cfg.max_iters': 9, 'train_cfg.val_interval': 3}}\n")
    grid = read_grid(path, {'options.train_cfg.max_iters': 4, 'default.decoders': 'FPN'})
    assert grid.options == {'train_cfg.max_iters': 4, 'train_cfg.val_interval': 3}
    assert grid.default['decoders'] == 'FPN'
    assert grid.default['encoders'] == 'tf_efficientnetv2_b3'


def head_of(decoder):
    return {'type': 'SMPHead', 'decoder': decoder, 'in_channels': 'backbone', 'strides': 'backbone'}


@pytest.mark.parametrize(
    ('decoder', 'indices', 'channels', 'strides'),
    [
        ('Unet', [0, 1, 2, 3, 4], [64, 64, 128, 256, 512], [2, 4, 8, 16, 32]),
        ('DeepLabV3Plus', [0, 1, 2, 3], [64, 64, 128, 256], [2, 4, 8, 16]),
    ],
)
def test_a_head_takes_all_levels_of_the_backbone_as_smp_does(decoder, indices, channels, strides):
    backbone = {'type': 'TimmBackbone', 'arch': 'resnet18', 'pretrained': True}
    cfg = Config({'default_scope': 'mmseg', 'model': {'backbone': backbone, 'decode_head': head_of(decoder)}})
    match_head_to_backbone(cfg)
    assert cfg.model.backbone.out_indices == indices
    head = read_levels(cfg.model).decode_head
    assert head.in_channels == channels
    assert head.strides == strides


def test_a_head_leaves_out_levels_coarser_than_32():
    backbone = {'type': 'SHViT', 'arch': 's1'}
    cfg = Config({'default_scope': 'mmseg', 'model': {'backbone': backbone, 'decode_head': head_of('Unet')}})
    match_head_to_backbone(cfg)
    assert read_levels(cfg.model).decode_head.strides == [2, 4, 8, 16, 32]
