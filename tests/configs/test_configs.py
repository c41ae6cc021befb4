"""Every config is built and takes a training step; every base is used."""

import ast
from pathlib import Path

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

ROOT = Path(__file__).parents[2]
LEAVES = sorted((ROOT / 'configs').glob('*.py'))


def build(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.pretrained = False
    return cfg, MODELS.build(cfg.model)


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
    used = {base for leaf in LEAVES for base in bases(leaf)}
    assert set((ROOT / 'configs' / '_base_').rglob('*.py')) <= used


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_a_leaf_is_short_and_says_where_it_comes_from(path):
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    assert 'arXiv' in docstring or 'No result was published' in docstring or 'no result was published' in docstring
    assert len(text.splitlines()) <= 35


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_a_step_reaches_every_weight(path):
    torch.manual_seed(0)
    cfg, model = build(path)
    model.init_weights()
    model.train()
    assert tuple(cfg.model.neck.in_channels) == model.backbone.out_channels

    with_mask = 'segm' in cfg.val_evaluator.metric
    inputs = demo_mm_inputs(2, [(3, 96, 64), (3, 90, 70)], num_classes=80, with_mask=with_mask)
    for sample in inputs['data_samples']:
        sample.gt_instances.labels.zero_()  # the one class that every config has
    data = model.data_preprocessor(inputs, training=True)
    loss, log = model.parse_losses(model.loss(data['inputs'], data['data_samples']))
    assert ('loss_mask' in log) == with_mask
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    # residual branches start with a scale of zero, so that nothing before it has a gradient yet
    reached = sum(bool(weight.grad.any()) for weight in model.parameters())
    assert reached > 0.4 * len(list(model.parameters()))
    optim_wrapper.step()
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    norms = [module for module in model.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)  # norm_eval


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_the_pyramid_has_the_strides_of_the_anchors(path):
    _, model = build(path)
    model.eval()
    with torch.no_grad():
        maps = model.extract_feat(torch.zeros(1, 3, 128, 256))
    head = model.rpn_head if hasattr(model, 'rpn_head') else model.bbox_head
    strides = [stride[0] for stride in head.prior_generator.strides]
    assert [(m.shape[2] * s, m.shape[3] * s) for m, s in zip(maps, strides, strict=True)] == [(128, 256)] * len(strides)


def test_the_schedule_is_the_published_one():
    cfg = Config.fromfile(ROOT / 'configs' / 'shvit_maskrcnn_coco.py')
    assert cfg.optim_wrapper.optimizer == {
        'type': 'AdamW',
        'lr': 1e-4,
        'betas': (0.9, 0.999),
        'weight_decay': 0.05,
        'fused': True,
    }
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[1].milestones) == (12, [8, 11])
    assert cfg.auto_scale_lr == {'enable': True, 'base_batch_size': 16}
