"""Checkpoints of a real Runner load and resume; files that would run code are refused before they can."""

import argparse
import copy
import http.server
import os
import threading
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from projects.openmmlab_compat import checkpoints  # isort: skip  before anything of mmengine
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import load_checkpoint as load_into_model
from torch import nn
from torch.utils.data import Dataset


class Numbers(Dataset):
    metainfo: ClassVar[dict] = {
        'classes': ('building', 'road'),
        'palette': [(220, 20, 60), [0, 1, 2]],
        'mean': np.array([0.5, 0.25], np.float32),
        'names': np.array(['a', 'bc']),
        'count': np.int64(7),
        'gsd_m': ConfigDict(kampala=0.1, nested={'x': [1, 2]}),
    }

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.full((3,), index / 8)


class Regressor(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def forward(self, *rows, mode='tensor'):
        out = self.layers(torch.stack(rows))
        return {'loss': out.square().mean(), 'bias': out.mean()}


def runner(work_dir, name, max_epochs, **options):
    return Runner(
        model=Regressor(),
        work_dir=str(work_dir),
        experiment_name=name,
        train_dataloader={
            'batch_size': 2,
            'dataset': Numbers(),
            'sampler': {'type': 'DefaultSampler', 'shuffle': True},
        },
        train_cfg={'by_epoch': True, 'max_epochs': max_epochs},
        optim_wrapper={
            'type': 'OptimWrapper',
            'optimizer': {'type': 'AdamW', 'lr': 1e-3},
            'clip_grad': {'max_norm': 1},
        },
        param_scheduler=[
            {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 3},
            {'type': 'MultiStepLR', 'milestones': [1, 3]},
            {'type': 'CosineAnnealingLR', 'T_max': 4},
            {'type': 'OneCycleLR', 'eta_max': 0.1, 'total_steps': 100, 'by_epoch': False},
        ],
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}},
        custom_hooks=[{'type': 'EMAHook'}],
        randomness={'seed': 3},
        cfg={'who': name},
        **options,
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Path of a checkpoint after 2 epochs and the runner that wrote it."""
    first = runner(tmp_path_factory.mktemp('run'), 'first', 2)
    first.train()
    return str(Path(first.work_dir, 'epoch_2.pth')), first


def assert_same(actual, expected):
    """Equal values of equal types, through any nesting."""
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            assert_same(actual[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for pair in zip(actual, expected, strict=True):
            assert_same(*pair)
    elif isinstance(expected, HistoryBuffer):
        assert_same(actual.data, expected.data)
        assert actual.statistics('mean') == expected.statistics('mean')
    elif isinstance(expected, (np.ndarray, torch.Tensor)):
        assert actual.dtype == expected.dtype
        assert (actual == expected).all()
    else:
        assert actual == expected


def test_runner_checkpoint_loads_completely(trained):
    path, _ = trained
    loaded = checkpoints.load_checkpoint_file(path)
    assert_same(loaded, torch.load(path, weights_only=False))  # written by this very test: trusted
    assert {'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers', 'ema_state_dict'} == set(loaded)
    assert loaded['message_hub']['log_scalars']['train/loss'].data[0].shape == (8,)
    assert_same(loaded['meta']['dataset_meta'], Numbers.metainfo)


class KeepStart(Hook):
    """Keeps what a run starts from."""

    def before_train_epoch(self, runner):
        if not hasattr(self, 'optimizer'):
            self.epoch, self.iter = runner.epoch, runner.iter
            self.optimizer = copy.deepcopy(runner.optim_wrapper.state_dict())
            self.schedulers = [scheduler.state_dict() for scheduler in runner.param_schedulers]


def test_second_runner_resumes(trained, tmp_path):
    path, first = trained
    second, start = runner(tmp_path, 'second', 3, resume=True, load_from=path), KeepStart()
    second.register_hook(start)
    second.train()
    stored = checkpoints.load_checkpoint_file(path)
    assert (start.epoch, start.iter) == (2, 8)
    assert_same(start.optimizer, stored['optimizer'])
    assert_same(start.schedulers[1]['milestones'], stored['param_schedulers'][1]['milestones'])
    losses = [r.message_hub.get_scalar('train/loss').data[0] for r in (first, second)]
    assert second.iter == len(losses[1]) == 12
    assert_same(losses[1][:8], losses[0])


@pytest.mark.parametrize('load', [checkpoints.load_checkpoint_file, CheckpointLoader.load_checkpoint])
def test_home_folder_and_missing_file(load, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    torch.save({'state_dict': {'a': torch.ones(2)}}, tmp_path / 'weights.pth')
    assert load('~/weights.pth')['state_dict']['a'].tolist() == [1, 1]
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*/weight\.pth does not exist; .* holds weights\.pth'):
        load('~/weight.pth')
    with pytest.raises(FileNotFoundError, match=r'holds no \.pth file'):
        load(str(tmp_path / 'runs' / 'weights.pth'))


@pytest.mark.parametrize('zipped', [True, False])
def test_authors_checkpoint_with_its_command_line(tmp_path, zipped):
    args = argparse.Namespace(lr=1e-3, model='shvit_s4', betas=[0.9, 0.99], ratio=None)
    content = {'model': OrderedDict(a=torch.arange(3)), 'args': args, 'epoch': 300, 'metric': np.float64(79.4)}
    torch.save(content, tmp_path / 'shvit.pth', _use_new_zipfile_serialization=zipped)
    loaded = checkpoints.load_checkpoint_file(tmp_path / 'shvit.pth')
    assert loaded['args'] == args
    assert loaded['model']['a'].tolist() == [0, 1, 2]
    assert loaded['metric'] == 79.4


def test_arrays_written_with_numpy_1(tmp_path):
    path = tmp_path / 'old.pth'
    content = {'mean': np.arange(3.0), 'best': np.float32(2)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert b'cnumpy._core.multiarray\n' in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b'cnumpy._core.multiarray\n', b'cnumpy.core.multiarray\n'))
    assert_same(checkpoints.load_checkpoint_file(path), content)


# --- hostile files ----------------------------------------------------------------------------------------------------


class Call:
    """Pickles as the call `function(*args)`."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args

    def __call__(self):
        raise AssertionError('only looks callable, as pickle demands of a function')


def call_from_globals_of(method, name, *args):
    """Calls a builtin that is reached from a method by nothing but getattr."""
    module_globals = Call(getattr, method, '__globals__')
    module_builtins = Call(Call(getattr, module_globals, 'get'), '__builtins__')
    return Call(Call(Call(getattr, module_builtins, 'get'), name), *args)


def attack(name, victim):
    python = f'open({str(victim)!r}, "w").close()'
    return {
        'system': Call(os.system, f'touch {victim}'),
        'exec': Call(exec, python),
        'inside a permitted type': argparse.Namespace(lr=[Call(os.system, f'touch {victim}')]),
        'getattr': call_from_globals_of(Call(getattr, HistoryBuffer, 'update'), 'exec', python),
        'getattr of a permitted method': call_from_globals_of(Call(getattr, HistoryBuffer, 'mean'), 'exec', python),
    }[name]


@pytest.fixture
def hostile(tmp_path):
    """Writes a checkpoint that makes the file `victim` and shows that it does where it is trusted."""

    def write(name, zipped=True):
        victim, path = tmp_path / 'victim', tmp_path / 'hostile.pth'
        content = {'state_dict': {'a': torch.ones(1)}, 'meta': {'x': attack(name, victim)}}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        torch.load(path, weights_only=False)
        victim.unlink()
        return path, victim

    return write


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize(
    ('name', 'culprit'),
    [
        ('system', r'\w+\.system'),
        ('exec', r'(builtins\.)?exec'),  # torch 2.6 says where it is from
        ('inside a permitted type', r'\w+\.system'),
        ('getattr', r'getattr\(HistoryBuffer,update\)'),
        ('getattr of a permitted method', r'getattr\(mean,__globals__\)'),
    ],
)
def test_code_in_a_checkpoint_is_refused_and_not_run(hostile, name, culprit, zipped):
    path, victim = hostile(name, zipped)
    refusal = rf'hostile\.pth is refused: it contains {culprit}, .*Nothing in it was executed.*weights_only=False'
    with pytest.raises(ValueError, match=refusal):
        checkpoints.load_checkpoint_file(path)
    with pytest.raises(ValueError, match=refusal):
        load_into_model(Regressor(), str(path))
    assert not victim.exists()


def test_configuration_text_in_a_checkpoint_is_not_run(trained, tmp_path):
    content = torch.load(trained[0], weights_only=False)
    victim, path = tmp_path / 'victim', tmp_path / 'hostile.pth'
    content['meta']['config'] = f'open({str(victim)!r}, "w").close()'
    torch.save(content, path)
    Config.fromstring(content['meta']['config'], '.py')  # what resuming does with this entry
    victim.unlink()
    runner(tmp_path / 'resumed', 'hostile', 3, resume=True, load_from=str(path)).train()
    assert not victim.exists()


def test_configuration_text_of_mmcv_1_stays_readable(tmp_path):
    torch.save({'state_dict': {}, 'meta': {'config': 'model = 1', 'CLASSES': ('a',)}}, tmp_path / 'old.pth')
    meta = checkpoints.load_checkpoint_file(tmp_path / 'old.pth')['meta']
    assert meta == {'cfg': 'model = 1', 'CLASSES': ('a',)}


def test_whole_pickled_network_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / 'network.pth')
    with pytest.raises(ValueError, match=r'network\.pth is refused: it contains torch\.nn\.modules\.linear\.Linear'):
        checkpoints.load_checkpoint_file(tmp_path / 'network.pth')


def test_type_that_is_not_permitted_is_refused(tmp_path):
    torch.save({'state_dict': {}, 'x': defaultdict(list)}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other\.pth is refused: it contains collections\.defaultdict'):
        checkpoints.load_checkpoint_file(tmp_path / 'other.pth')


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('share', [0, 0.02, 0.5, 0.95])
def test_truncated_file_is_named(trained, tmp_path, share, zipped):
    path = tmp_path / 'short.pth'
    torch.save(torch.load(trained[0], weights_only=False), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r'short\.pth (cannot be read as a PyTorch checkpoint|is refused)'):
        checkpoints.load_checkpoint_file(path)


@pytest.mark.parametrize(
    'content',
    [b'<html>404</html>', b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n', bytes(range(256))],
)
def test_file_of_another_kind_is_named(tmp_path, content):
    (tmp_path / 'page.pth').write_bytes(content)
    with pytest.raises(ValueError, match=r'page\.pth cannot be read as a PyTorch checkpoint: .*Git LFS'):
        checkpoints.load_checkpoint_file(tmp_path / 'page.pth')


def test_file_without_a_dictionary_is_named(tmp_path):
    torch.save(torch.ones(2), tmp_path / 'tensor.pth')
    with pytest.raises(ValueError, match=r'tensor\.pth holds a Tensor; expected a dictionary'):
        checkpoints.load_checkpoint_file(tmp_path / 'tensor.pth')


# --- downloads --------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch):
    """URL under which the files of tmp_path are served."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args):
            pass

    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()


def test_download_loads(trained, server, tmp_path):
    (tmp_path / 'epoch_2.pth').write_bytes(Path(trained[0]).read_bytes())
    loaded = CheckpointLoader.load_checkpoint(f'{server}/epoch_2.pth', 'cpu')
    assert_same(loaded, checkpoints.load_checkpoint_file(trained[0]))


@pytest.mark.parametrize('scheme', ['http', 'torchvision'])
def test_hostile_download_is_refused(hostile, server, monkeypatch, scheme):
    _, victim = hostile('exec')
    url = f'{server}/hostile.pth'
    if scheme == 'torchvision':
        monkeypatch.setattr('mmengine.runner.checkpoint.get_torchvision_models', lambda: {'resnet': url})
    with pytest.raises(ValueError, match=r'checkpoints/hostile\.pth is refused: it contains (builtins\.)?exec'):
        CheckpointLoader.load_checkpoint('torchvision://resnet' if scheme == 'torchvision' else url)
    assert not victim.exists()


@pytest.mark.parametrize('wrap', [lambda weights: weights, lambda weights: {'state_dict': weights, 'meta': {}}])
@pytest.mark.parametrize(('name', 'value'), [('bn.running_var', float('nan')), ('conv.weight', float('inf'))])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path, wrap, name, value):
    weights = {
        'conv.weight': torch.zeros(3),
        'bn.running_var': torch.ones(2),
        'bn.num_batches_tracked': torch.tensor(1),
    }
    weights[name] = torch.tensor([1.0, value])
    torch.save(wrap(weights), tmp_path / 'diverged.pth')
    with pytest.raises(ValueError, match=rf'diverged\.pth cannot be used: a tensor holds NaN .*{name}\..*diverged'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'diverged.pth'))


def test_infinity_in_masks_and_states_of_training_are_no_fault(tmp_path):
    weights = {'conv.weight': torch.zeros(3), 'attention.mask': torch.tensor([0.0, -torch.inf])}
    content = {'state_dict': weights, 'optimizer': {'state': {0: {'exp_avg': torch.tensor(torch.nan)}}}}
    torch.save(content, tmp_path / 'a.pth')
    assert checkpoints.load_checkpoint_file(tmp_path / 'a.pth')['state_dict'].keys() == weights.keys()
