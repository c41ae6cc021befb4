"""Every config is short, says where it comes from, trains a step and is scored; every base is used.

The configs of buildings train their step in tests/building_extraction, with data written by hand.
"""

import ast
import math
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from projects.deployment.export.calibration_images import plain_sets
from projects.sample_data import use_sample
from projects.training.config import load_config
from projects.training.launch import set_up
from projects.training.runner import Runner

ROOT = Path(__file__).parents[2]
LEAVES = sorted((ROOT / 'configs').glob('*.py'))
BUILDING_LEAVES = sorted((ROOT / 'configs' / 'buildings').glob('*_*_*.py'))  # beside studies and grids
ALL_LEAVES = LEAVES + BUILDING_LEAVES
SCORES = {'CocoScores': 'coco/bbox_mAP', 'IoUMetric': 'mIoU'}


@cache
def read(path):
    """A config as it stands, which tests leave as it is."""
    return Config.fromfile(path)


def bases(path):
    """Bases that a config names, with theirs."""
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == '_base_':
            named = ast.literal_eval(statement.value)
            for name in [named] if isinstance(named, str) else named:
                base = (path.parent / name).resolve()
                yield base
                yield from bases(base)


def test_every_base_is_used():
    used = {base for leaf in ALL_LEAVES for base in bases(leaf)}
    assert set((ROOT / 'configs' / '_base_').rglob('*.py')) <= used


@pytest.mark.parametrize('path', ALL_LEAVES, ids=lambda path: path.stem)
def test_a_leaf_is_short_and_says_where_it_comes_from(path):
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    unpublished = 'No result ' in docstring or 'no result ' in docstring
    published = [statement for statement in ast.parse(text).body if ast.unparse(statement).startswith('published')]
    assert bool(published) != unpublished
    assert published or len(text.splitlines()) <= 35
    if published:
        assert 'arXiv' in docstring
        figures = {keyword.arg: ast.literal_eval(keyword.value) for keyword in published[0].value.keywords}
        for key in figures.keys() & {'box_ap', 'mask_ap', 'miou'}:
            assert str(figures[key]) in docstring or f'{figures[key]:.3f}' in docstring


@pytest.fixture(scope='module')
def sample_root(tmp_path_factory):
    return tmp_path_factory.mktemp('sample')


@pytest.fixture
def runner(request, tmp_path, sample_root):
    """Of a config on two images of 64 px, one step long, with the batch norms that the recipe has."""
    path = request.param
    norm_eval = read(path).model.backbone.get('norm_eval', False)
    cfg = load_config(
        path, {'model.backbone.norm_eval': norm_eval}, lambda cfg: use_sample(cfg, sample_root, tiny=True)
    )
    cfg.optim_wrapper.type = 'OptimWrapper'
    set_up(cfg, tmp_path)
    torch.manual_seed(0)
    return Runner.from_cfg(cfg)


def maps_and_strides(model):
    """Feature maps of an image of 128x256, and the strides that the head takes them to have, if it says so."""
    model.eval()
    with torch.no_grad():
        maps = model.extract_feat(torch.zeros(1, 3, 128, 256))
    head = getattr(model, 'rpn_head', None) or getattr(model, 'bbox_head', None) or model.decode_head
    if hasattr(head, 'prior_generator'):
        return maps, [stride[0] for stride in head.prior_generator.strides]
    return maps, getattr(head, 'feature_strides', None)


@pytest.mark.parametrize('runner', LEAVES, ids=lambda path: path.stem, indirect=True)
def test_a_leaf_trains_a_step_and_is_scored(runner):
    model, reached, nonzero = runner.model, set(), set()

    def record(name):
        def hook(parameter):
            reached.add(name)
            if parameter.grad.any():
                nonzero.add(name)

        return hook

    # timm freezes what EfficientViM's classifier would weigh its stages by
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, parameter in parameters.items():
        parameter.register_post_accumulate_grad_hook(record(name))
    runner.train()
    assert reached == set(parameters)
    # residual branches start with a scale of zero, so that nothing before it has a gradient yet
    assert len(nonzero) > 0.4 * len(parameters)
    assert all(torch.isfinite(parameter).all() for parameter in parameters.values())
    loss = runner.message_hub.get_scalar('train/loss').current()
    assert math.isfinite(loss)
    assert loss > 0
    score = runner.message_hub.get_scalar('val/' + SCORES[runner.cfg.val_evaluator.type]).current()
    assert 0 <= score <= 100

    norms = [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    model.train()
    assert all(norm.training != model.backbone.norm_eval for norm in norms)

    maps, strides = maps_and_strides(model)
    if strides is not None:
        sizes = [(m.shape[2] * stride, m.shape[3] * stride) for m, stride in zip(maps, strides, strict=True)]
        assert sizes == [(128, 256)] * len(strides)


def test_the_schedule_is_the_published_one():
    cfg = read(ROOT / 'configs' / 'shvit_maskrcnn_coco.py')
    assert cfg.optim_wrapper.optimizer == {
        'type': 'AdamW',
        'lr': 1e-4,
        'betas': (0.9, 0.999),
        'weight_decay': 0.05,
        'fused': True,
    }
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[1].milestones) == (12, [8, 11])
    assert cfg.auto_scale_lr == {'enable': True, 'base_batch_size': 16}


@pytest.mark.parametrize('path', ALL_LEAVES, ids=lambda path: path.stem)
def test_the_gpus_of_the_recipe_train_its_batch(path):
    cfg = read(path)
    num_gpus = 1 if '_unet_' in path.stem and path in BUILDING_LEAVES else 8
    assert cfg.auto_scale_lr == {'enable': True, 'base_batch_size': num_gpus * cfg.train_dataloader.batch_size}
    # a floor that does not follow the batch would be above the learning rate of a small one
    assert not any(schedule.get('eta_min', 0) for schedule in cfg.param_scheduler)


@pytest.mark.parametrize('path', ALL_LEAVES, ids=lambda path: path.stem)
def test_a_checkpoint_is_written_before_every_validation(path):
    cfg = read(path)
    assert cfg.train_cfg.val_interval % cfg.default_hooks.checkpoint.interval == 0


def sources(dataset):
    """For each plain data set of a config, the file that lists its images, else their folder."""
    for one in plain_sets(dataset):
        prefix = one['data_prefix']
        yield Path(one['data_root'], one.get('ann_file') or prefix.get('img') or prefix['img_path'])


@pytest.mark.parametrize('path', ALL_LEAVES, ids=lambda path: path.stem)
def test_int8_is_not_calibrated_on_what_is_tested(path):
    cfg = read(path)
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    assert set(sources(train))
    assert not set(sources(train)) & set(sources(test))
    # of one type: what the test pipeline asks of a data set is there
    assert {plain['type'] for plain in plain_sets(train)} == {test.type}


def settings_of_parameters(config):
    """Learning rate and weight decay of every parameter of a config's model, by name."""
    cfg = Config.fromfile(ROOT / 'configs' / f'{config}.py')
    cfg.model.backbone.pretrained = False
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    groups_by_parameter = {id(parameter): group for group in groups for parameter in group['params']}
    found = {name: groups_by_parameter[id(parameter)] for name, parameter in model.named_parameters()}
    return {name: (group['lr'], group['weight_decay']) for name, group in found.items()}


def test_attention_biases_are_not_decayed():
    settings = settings_of_parameters('efficientvit_msra_m4_fpn_ade20k')
    biases = [setting for name, setting in settings.items() if 'attention_bias' in name]
    assert biases
    assert set(biases) == {(2e-4, 0.0)}
    assert settings['backbone.patch_embed.0.c.weight'] == (2e-4, 1e-4)


def test_the_head_of_segformer_learns_ten_times_as_fast_and_norms_are_not_decayed():
    settings = settings_of_parameters('shvit_segformer_ade20k')
    assert settings['decode_head.conv_seg.weight'] == (pytest.approx(6e-4), 0.01)
    assert settings['backbone.patch_embed.0.c.weight'] == (6e-5, 0.01)
    assert settings['backbone.patch_embed.0.bn.weight'] == (6e-5, 0.0)
