import math

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from projects.building_extraction.knowledge_transfer.gradual_fine_tuning import GradualFineTuning, backbone_parts
from projects.efficient_models.backbones import SHViT, TimmBackbone

PARTS = ('patch_embed', 'stages.0', 'stages.1')


class Record(Hook):
    """Which parts of the backbone change, and which norms train, in each iteration."""

    priority = 'LOWEST'

    def __init__(self):
        self.changed, self.training = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before = {key: value.clone() for key, value in runner.model.state_dict().items()}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        after = runner.model.state_dict()
        names = {
            next((part for part in PARTS if key.startswith(f'backbone.{part}')), 'decoder')
            for key, value in after.items()
            if not torch.equal(value, self.before[key])
        }
        self.changed.append(names)
        self.training.append(
            [part for part in PARTS if runner.model.backbone.get_submodule(part)[1].training]  # its norm
        )


def run(train, folder, model, hook, **options):
    record = Record()
    hook = {'type': 'GradualFineTuning', **hook}
    runner = train(folder, model, custom_hooks=[hook, record], **options)
    return runner, record


def test_parts_learn_one_after_another_from_the_decoder_to_the_stem(tmp_path, train, network):
    _, record = run(train, tmp_path, network(), {'phase_iters': 3}, iters=11)
    decoder = {'decoder'}
    phases = [decoder, decoder | {'stages.1'}, decoder | {'stages.0', 'stages.1'}, decoder | set(PARTS)]
    assert record.changed == [phases[i // 3] for i in range(11)]
    assert record.training == [sorted(phases[i // 3] - decoder) for i in range(11)]


@pytest.mark.parametrize('kind', ['Adam', 'AdamW', 'SGD', 'RMSprop', 'Adadelta', 'Adagrad', 'Adamax', 'NAdam'])
def test_no_optimizer_changes_a_frozen_part(tmp_path, train, network, kind):
    optimizer = {'type': kind, 'lr': 1e-2, 'weight_decay': 0.1}
    runner, record = run(train, tmp_path, network(), {'phase_iters': 2}, iters=4, optimizer=optimizer)
    assert record.changed == [{'decoder'}] * 2 + [{'decoder', 'stages.1'}] * 2
    optimized = {id(p) for group in runner.optim_wrapper.param_groups for p in group['params']}
    assert optimized == {id(p) for p in runner.model.parameters()}


def test_a_phase_ends_when_the_score_stays(tmp_path, train, network):
    scores = {1: 0.5, 2: 0.6, 3: math.nan, 4: 0.6, 5: 0.1, 6: 0.2, 7: 0.2, 8: 0.1}
    hook = {'phase_iters': 100, 'patience': 2}
    _, record = run(train, tmp_path, network(), hook, iters=9, scores=scores, val_interval=1)
    assert [len(names) for names in record.changed] == [1, 1, 1, 1, 2, 2, 2, 2, 3]


@pytest.mark.parametrize('stop', [2, 4, 6])
@pytest.mark.parametrize('patience', [None, 1])
def test_a_resumed_training_is_that_of_one_without_interruption(tmp_path, train, network, stop, patience):
    """A training that is killed after a checkpoint has been written, and before it has been scored."""
    scores = {2: 0.5, 4: 0.4, 6: 0.4, 8: 0.3}
    options = {'hook': {'phase_iters': 3, 'patience': patience}, 'scores': scores}
    whole, expected = run(train, tmp_path / 'whole', network(), iters=8, **options)

    class KilledError(Exception):
        pass

    class Kill(Hook):
        def before_val(self, runner):
            if runner.iter == stop:
                raise KilledError

    with pytest.raises(KilledError):
        train(
            tmp_path / 'cut', network(), iters=8, scores=scores,
            custom_hooks=[{'type': 'GradualFineTuning', **options['hook']}, Kill()],
        )  # fmt: skip
    checkpoint = tmp_path / 'cut' / f'iter_{stop}.pth'
    resumed, record = run(train, tmp_path / 'cut', network(), iters=8, resume=checkpoint, **options)
    assert record.changed == expected.changed[stop:]
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    if patience is not None:
        assert (resumed.message_hub.get_scalar('val/building/f1').data[0]).tolist() == [0.5, 0.4, 0.4, 0.3]


def test_stages_that_the_backbone_freezes_itself_are_left_frozen(tmp_path, train, network):
    config = network()
    config['backbone']['frozen_stages'] = 0
    runner, record = run(train, tmp_path, config, {'phase_iters': 1}, iters=4)
    assert [len(names) for names in record.changed] == [1, 2, 3, 3]
    assert not any(p.requires_grad for p in runner.model.backbone.patch_embed.parameters())


@pytest.mark.parametrize(
    ('backbone', 'num_parts'),
    [
        (lambda: SHViT('s1', out_indices=(0, 1, 2, 3, 4, 5)), 4),
        (lambda: TimmBackbone('resnet18'), 5),
        (lambda: TimmBackbone('mobilenetv3_small_050'), 5),
    ],
)
def test_real_backbones_tell_their_parts(backbone, num_parts):
    model = nn.Module()
    model.backbone = backbone()
    parts = backbone_parts(model)
    assert len(parts) == num_parts
    assert sum(p.numel() for part in parts for p in part.parameters()) == sum(
        p.numel() for p in model.backbone.parameters()
    )


def test_what_has_no_parts_or_no_score_is_refused(tmp_path, train, network):
    model = nn.Module()
    model.backbone = nn.Conv2d(3, 4, 1)
    with pytest.raises(ValueError, match='Conv2d  leaves out 2 parameters'):
        backbone_parts(model)
    with pytest.raises(ValueError, match='phase_iters=0'):
        GradualFineTuning(phase_iters=0)
    hook = {'phase_iters': 2, 'patience': 1, 'monitor': 'mIoU'}
    with pytest.raises(ValueError, match="no score 'mIoU' to go by; monitor must be one of building/f1"):
        run(train, tmp_path, network(), hook, scores={})
    with pytest.raises(ValueError, match='with patience needs a validation'):
        run(train, tmp_path, network(), hook)
