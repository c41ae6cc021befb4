"""Parts of the grid become studies."""

from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

import pytest
import timm
from mmengine.config import Config

import projects.efficient_models
import projects.openmmlab_compat  # noqa: F401
from projects.building_extraction.network_ranking.grid import AXES, fit_to_encoder, read_grid
from projects.building_extraction.transfer_study.plan import plan_run
from projects.training.config import load_config
from projects.training.levels import read_levels

GRID = Path(__file__).parents[3] / 'configs' / 'buildings' / 'grid.py'


def read(path=GRID, options=None, one_by_one=False, **chosen):
    return read_grid(path, chosen, options, one_by_one=one_by_one)


def test_the_grid_has_the_size_of_the_paper_and_timm_knows_its_encoders():
    encoders = read(encoders=['all']).methods
    assert [len(read(**{axis: ['all']}).methods) for axis in AXES] == [43, 7, 9, 5]
    assert {method['facts']['encoder'] for method in encoders.values()} <= set(timm.list_models())


def test_an_axis_that_is_not_given_keeps_its_default_and_all_means_all():
    methods = read(encoders=['resnet18', 'mixnet_s'], losses=['all']).methods
    assert len(methods) == 18
    assert {method['facts']['decoder'] for method in methods.values()} == {'Unet'}
    assert list(methods.values())[-1]['facts'] == {
        'encoder': 'mixnet_s',
        'decoder': 'Unet',
        'loss': 'total',
        'optimizer': 'Adam',
    }


def test_axes_one_by_one_share_the_default_alone():
    methods = read(one_by_one=True, decoders=['all'], losses=['all'], optimizers=['all']).methods
    assert len(methods) == 7 + 9 + 5 - 2
    default = ('tf_efficientnetv2_b3', 'Unet', 'dice', 'Adam')
    moved = [sum(a != b for a, b in zip(m['facts'].values(), default, strict=True)) for m in methods.values()]
    assert sorted(moved) == [0] + [1] * 18


def test_a_run_sets_what_it_says_and_each_network_has_its_trials(tmp_path):
    grid = read(encoders=['dpn68'], decoders=['FPN'], losses=['bce+dice'], optimizers=['SGD'])
    ((name, method),) = grid.methods.items()
    assert name == 'dpn68_FPN_bce-dice_SGD'
    assert [trial['optim_wrapper.optimizer.lr'] for trial in method['trials']] == pytest.approx([3e-3, 1e-2, 3e-2])
    (tmp_path / 'target' / 'images').mkdir(parents=True)
    (tmp_path / 'target' / 'images' / 'a.png').touch()
    about = {'method': name, 'setting': 'main', 'replicate': 1}
    run = plan_run(replace(grid, target_tiles=1), name, tmp_path, 'run', about, method['trials'][0], None)
    cfg = load_config(run.config, run.options)
    assert dict(cfg.model.backbone) == {'type': 'TimmBackbone', 'arch': 'dpn68', 'pretrained': True}
    assert (cfg.model.decode_head.decoder, cfg.model.decode_head.loss_decode.name) == ('FPN', 'bce+dice')
    optimizer = dict(cfg.optim_wrapper.optimizer)
    assert optimizer.pop('lr') == pytest.approx(3e-3)
    assert optimizer == {'type': 'SGD', 'momentum': 0.9}
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (5000, 1000)
    assert resolve_name(run.adapt) is fit_to_encoder


def test_networks_are_called_by_what_varies():
    titles = [method['title'] for method in read(decoders=['Unet', 'FPN'], losses=['dice', 'jaccard']).methods.values()]
    assert titles == ['Unet · dice', 'Unet · jaccard', 'FPN · dice', 'FPN · jaccard']
    assert [method['title'] for method in read().methods.values()] == ['tf_efficientnetv2_b3 · Unet · dice · Adam']


def test_an_unknown_name_is_refused_with_similar_ones():
    with pytest.raises(ValueError, match=r"encoders: no 'resnet19' in the grid; did you mean one of \['resnet18'"):
        read(encoders=['resnet19'])


def test_a_default_is_checked_as_a_name_is(tmp_path):
    with pytest.raises(ValueError, match=r"decoders: no 'UNet' in the grid; did you mean one of \['Unet'"):
        read(options={'default.decoders': 'UNet'})
    path = tmp_path / 'grid.py'
    path.write_text(f"_base_ = '{GRID}'\ndefault = {{'_delete_': True, 'encoders': 'resnet18'}}\n")
    with pytest.raises(ValueError, match=r"default: missing keys \['decoders', 'losses', 'optimizers'\]"):
        read(path)


def test_shares_of_a_rate_need_one(tmp_path):
    path = tmp_path / 'grid.py'
    path.write_text(f"_base_ = '{GRID}'\noptimizers = dict(Adadelta=dict(rho=0.9))\n")
    with pytest.raises(ValueError, match=r"optimizers \['Adadelta'\] have no lr"):
        read(path)
    assert read(path, {'rates': []}, optimizers=['Adadelta']).methods
    with pytest.raises(ValueError, match=r"optimizers \['SGD', 'Adadelta'\] have no lr"):
        read(path, {'optimizers.SGD.lr': 'fast'})


def test_a_grid_with_an_unknown_key_is_refused(tmp_path):
    path = tmp_path / 'grid.py'
    path.write_text(GRID.read_text() + '\ncolour = 1\n')
    with pytest.raises(ValueError, match='colour'):
        read(path)


def test_the_command_line_overrides_one_option_and_keeps_the_others(tmp_path):
    path = tmp_path / 'grid.py'
    path.write_text(f"_base_ = '{GRID}'\noptions = {{'train_dataloader.batch_size': 9, 'randomness.seed': 3}}\n")
    options = {
        'options.train_dataloader.batch_size': 4,
        'default.decoders': 'FPN',
        'options.model.backbone.pretrained': False,
    }
    grid = read(path, options | {'options.model.backbone.pretrained': False})
    assert grid.options['train_dataloader.batch_size'] == 4
    assert grid.options['randomness.seed'] == 3
    (method,) = grid.methods.values()
    assert method['facts']['decoder'] == 'FPN'
    assert method['facts']['encoder'] == 'tf_efficientnetv2_b3'
    assert method['options']['model.backbone']['pretrained'] is False


def head_of(decoder):
    return {'type': 'SMPHead', 'decoder': decoder, 'in_channels': 'backbone', 'strides': 'backbone'}


def config_of(backbone, decoder):
    model = {'backbone': backbone, 'decode_head': head_of(decoder), 'data_preprocessor': {}}
    return Config({'default_scope': 'mmseg', 'model': model})


@pytest.mark.parametrize(
    ('decoder', 'indices', 'channels', 'strides'),
    [
        ('Unet', [0, 1, 2, 3, 4], [64, 64, 128, 256, 512], [2, 4, 8, 16, 32]),
        ('DeepLabV3Plus', [0, 1, 2, 3], [64, 64, 128, 256], [2, 4, 8, 16]),
    ],
)
def test_a_head_takes_all_levels_of_the_backbone_as_smp_does(decoder, indices, channels, strides):
    backbone = {'type': 'TimmBackbone', 'arch': 'resnet18', 'pretrained': True}
    cfg = config_of(backbone, decoder)
    fit_to_encoder(cfg)
    assert cfg.model.backbone.out_indices == indices
    head = read_levels(cfg.model).decode_head
    assert head.in_channels == channels
    assert head.strides == strides


def test_a_head_leaves_out_levels_coarser_than_32():
    cfg = config_of({'type': 'SHViT', 'arch': 's1'}, 'Unet')
    fit_to_encoder(cfg)
    assert read_levels(cfg.model).decode_head.strides == [2, 4, 8, 16, 32]


@pytest.mark.parametrize(
    ('arch', 'mean', 'std'),
    [
        ('tf_efficientnet_lite0', [127.5] * 3, [127.5] * 3),  # TensorFlow's weights
        ('resnet18', [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),  # torchvision's
    ],
)
def test_images_are_normalized_as_the_weights_were_trained(arch, mean, std):
    cfg = config_of({'type': 'TimmBackbone', 'arch': arch, 'pretrained': True}, 'Unet')
    fit_to_encoder(cfg)
    assert cfg.model.data_preprocessor.mean == pytest.approx(mean)
    assert cfg.model.data_preprocessor.std == pytest.approx(std)
