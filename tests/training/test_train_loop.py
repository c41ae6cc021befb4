"""A run that is stopped and continued computes what one that is not stopped computes."""

import os
import signal
from itertools import chain
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, init_default_scope
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler

from projects.training.checkpoints import latest_checkpoint
from projects.training.datasets import SurvivingDataset
from projects.training.runner import Runner
from projects.training.samplers import ResumableBatchSampler
from projects.training.train_loop import ResumableIterTrainLoop, ResumableLoop, ResumableTrainLoop

NUM_SAMPLES, BATCH_SIZE = 11, 3  # three whole batches an epoch


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmengine')


@DATASETS.register_module(force=True)
class Numbers(SurvivingDataset, BaseDataset):
    """Each sample is its index and a random number."""

    def load_data_list(self):
        return [{'index': index} for index in range(NUM_SAMPLES)]


def augment(info):
    return {'index': float(info['index']), 'noise': torch.rand(()).item()}


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, index, noise, mode):
        return {'loss': (self.scale * (index + noise + torch.rand(()))).mean()}


class Record(Hook):
    """Writes down losses and samples; asks for a stop at one iteration."""

    def __init__(self, stop_at=None):
        self.stop_at, self.losses, self.indices, self.validated = stop_at, {}, [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses[runner.iter] = outputs['loss'].item()
        self.indices.append(data_batch['index'].tolist())

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)


def run(work_dir, loop, stop_at=None, resume=False, batch_size=BATCH_SIZE, num_workers=0):
    record = Record(stop_at)
    runner = Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader={
            'batch_size': batch_size,
            'num_workers': num_workers,
            'collate_fn': {'type': 'default_collate'},
            'persistent_workers': num_workers > 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': True},
            'batch_sampler': {'type': 'ResumableBatchSampler'},
            'dataset': {'type': 'Numbers', 'pipeline': [augment]},
        },
        train_cfg=loop,
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 1e-3}},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 100}, 'logger': None},
        custom_hooks=[record],
        load_from=str(latest_checkpoint(work_dir)) if resume else None,
        resume=resume,
        randomness={'seed': 3},
    )
    try:
        runner.train()
    except KeyboardInterrupt:
        assert stop_at is not None
    return record


LOOPS = {
    'iterations': {'type': 'ResumableIterTrainLoop', 'max_iters': 8, 'val_interval': 100},
    'epochs': {'type': 'ResumableTrainLoop', 'max_epochs': 2, 'val_interval': 100},
}


@pytest.mark.parametrize('loop', LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize('stop_at', [0, 2, 4])
def test_an_interruption_changes_nothing(tmp_path, loop, stop_at):
    whole = run(tmp_path / 'whole', loop)
    before = run(tmp_path / 'stopped', loop, stop_at)
    assert list(before.losses) == list(range(stop_at + 1))
    after = run(tmp_path / 'stopped', loop, resume=True)
    assert before.losses | after.losses == whole.losses
    assert before.indices + after.indices == whole.indices


def test_iterations_pass_over_the_data_in_epochs_of_whole_batches(tmp_path):
    record = run(tmp_path, LOOPS['iterations'])
    assert len(record.losses) == 8
    epochs = [[*chain(*record.indices[start : start + 3])] for start in (0, 3)]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert len(set(record.losses.values())) == 8


def test_loader_processes_change_nothing(tmp_path):
    alone = run(tmp_path / 'alone', LOOPS['iterations'])
    before = run(tmp_path / 'helped', LOOPS['iterations'], stop_at=4, num_workers=2)
    after = run(tmp_path / 'helped', LOOPS['iterations'], resume=True, num_workers=2)
    assert before.losses | after.losses == alone.losses


def test_a_batch_larger_than_the_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'11 training images, fewer than its batch of 12: --cfg-options'):
        run(tmp_path, LOOPS['iterations'], batch_size=12)


@pytest.mark.parametrize('loop', [ResumableTrainLoop, ResumableIterTrainLoop])
def test_what_cannot_be_repeated_is_refused(loop):
    runner = SimpleNamespace(visualizer=SimpleNamespace())
    with pytest.raises(ValueError, match=r'cannot leave out batches of a BatchSampler: use .*ResumableBatchSampler'):
        loop(runner, DataLoader(Numbers(pipeline=[augment])), 1)
    indices = list(range(5))
    batches = ResumableBatchSampler(SequentialSampler(indices), 2)
    with pytest.raises(ValueError, match=f'cannot repeat the random numbers of a list: .*{loop.__mro__[2].__name__}'):
        loop(runner, DataLoader(indices, batch_sampler=batches), 1)


@pytest.mark.parametrize(
    ('heads', 'refused'),
    [
        ({'decode_head': 2}, 'decode_head'),
        ({'decode_head': 3, 'auxiliary_head': 1}, 'auxiliary_head'),
        ({'decode_head': 5}, None),
        ({'rpn_head': 1, 'decode_head': 3}, None),
        ({}, None),
    ],
)
def test_heads_with_fewer_classes_than_the_data_are_refused(heads, refused):
    model = nn.Module()
    for name, num_classes in heads.items():
        head = nn.Identity()
        head.num_classes = num_classes
        setattr(model, name, head)
    loop = SimpleNamespace(
        runner=SimpleNamespace(model=model),
        dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo={'classes': ('a', 'b', 'c')})),
    )
    if refused is None:
        ResumableLoop._check_classes(loop)
        return
    with pytest.raises(ValueError, match=f'has 3 classes, {refused} has num_classes={heads[refused]}'):
        ResumableLoop._check_classes(loop)


@pytest.mark.parametrize(('loop', 'length'), [('iterations', 'max_iters'), ('epochs', 'max_epochs')])
def test_a_training_of_nothing_is_refused(tmp_path, loop, length):
    with pytest.raises(ValueError, match='nothing would be trained'):
        run(tmp_path, LOOPS[loop] | {length: 0})
