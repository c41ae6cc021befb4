"""Files written whole or not at all, and checkpoints that must fit."""

import os
import resource
import signal
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import get_file_backend
from mmengine.model import BaseModel
from mmengine.registry import MODELS

from projects.training.runner import AtomicLocalBackend, Runner
from tests.processes import call_in_clean_processes


@MODELS.register_module()
class TinyNet(BaseModel):
    """A backbone and a head, of any width."""

    def __init__(self, width=4, num_classes=2):
        super().__init__()
        self.backbone = torch.nn.Linear(3, width)
        self.head = torch.nn.Linear(width, num_classes)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.head(self.backbone(inputs))


def runner(tmp_path, training=False, **model):
    options = {
        'work_dir': str(tmp_path / 'work'),
        'log_level': 'ERROR',
        'experiment_name': f'{tmp_path.name}{time.time()}',
    }
    if training:
        options |= {
            'train_dataloader': {
                'dataset': [],
                'sampler': {'type': 'DefaultSampler', 'shuffle': False},
                'batch_size': 1,
            },
            'train_cfg': {'by_epoch': True, 'max_epochs': 1},
            'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.1}},
        }
    return Runner(model={'type': 'TinyNet', **model}, cfg=Config(options), **options)


def save(tmp_path, **model):
    path = tmp_path / 'checkpoint.pth'
    torch.save({'state_dict': TinyNet(**model).state_dict(), 'meta': {}}, path)
    return str(path)


@pytest.mark.parametrize(
    ('given', 'fused'),
    [({'type': 'Adam'}, True), ({'type': 'Adam', 'fused': False}, False), ({'type': 'SGD', 'foreach': True}, None)],
)
def test_an_optimizer_is_fused_unless_its_config_says_otherwise(given, fused, tmp_path):
    built = runner(tmp_path, training=True)
    config = {'type': 'OptimWrapper', 'optimizer': {'lr': 0.1, **given}}
    assert built.build_optim_wrapper(config).optimizer.defaults['fused'] is fused
    assert config['optimizer'] == {'lr': 0.1, **given}


def test_an_optimizer_without_a_fused_step_is_built_as_it_is(tmp_path):
    built = runner(tmp_path, training=True).build_optim_wrapper({'optimizer': {'type': 'RMSprop', 'lr': 0.1}})
    assert 'fused' not in built.optimizer.defaults


def test_an_unknown_optimizer_is_named(tmp_path):
    with pytest.raises(ValueError, match="no optimizer 'Admm'"):
        runner(tmp_path, training=True).build_optim_wrapper({'optimizer': {'type': 'Admm', 'lr': 0.1}})


def test_mmengine_writes_local_files_through_the_atomic_backend(tmp_path):
    assert isinstance(get_file_backend(str(tmp_path)), AtomicLocalBackend)
    AtomicLocalBackend().put(b'one', tmp_path / 'new' / 'file')
    AtomicLocalBackend().put_text('two', tmp_path / 'new' / 'file')
    assert (tmp_path / 'new' / 'file').read_text() == 'two'
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['file']


def put_and_die(path):
    os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)  # the content is written, not yet renamed
    AtomicLocalBackend().put(b'new', path)


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'old')
    call_in_clean_processes(put_and_die, (path,), exit_code=-signal.SIGKILL)
    assert path.read_bytes() == b'old'


def test_the_processes_of_a_run_do_not_disturb_one_another_in_writing_the_same_file(tmp_path, monkeypatch):
    def let_another_process_write(descriptor):
        monkeypatch.undo()
        monkeypatch.setattr('projects.training.runner.get_rank', lambda: 1)
        monkeypatch.setattr('os.getpid', lambda: 1)
        AtomicLocalBackend().put(b'other', tmp_path / 'file')

    monkeypatch.setattr('os.fsync', let_another_process_write)
    AtomicLocalBackend().put(b'own', tmp_path / 'file')
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [('file', b'own')]


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    (tmp_path / '.file.0.77.tmp').touch()
    AtomicLocalBackend().put(b'new', tmp_path / 'file')
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def put_on_a_full_disk(path, message):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit then fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    try:
        AtomicLocalBackend().put(bytes(2**21), path)
    except OSError as error:
        message.write_text(str(error))


def test_a_full_disk_is_reported_and_leaves_the_old_file(tmp_path, tmp_path_factory):
    path, message = tmp_path / 'file', tmp_path_factory.mktemp('elsewhere') / 'message'
    path.write_bytes(b'old')
    call_in_clean_processes(put_on_a_full_disk, (path, message))
    for hint in (f'Cannot write {path} (2.0 MiB)', 'Earlier files are intact', '--resume'):
        assert hint in message.read_text()
    assert path.read_bytes() == b'old'
    assert [path.name for path in tmp_path.iterdir()] == ['file']
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY  # only the child was limited


def test_a_fitting_checkpoint_is_loaded(tmp_path):
    path = save(tmp_path)
    test_runner = runner(tmp_path)
    test_runner.load_checkpoint(path)
    expected = torch.load(path)['state_dict']
    assert all(torch.equal(value, expected[key]) for key, value in test_runner.model.state_dict().items())


@pytest.mark.parametrize('training', [False, True])
def test_a_checkpoint_of_another_backbone_is_refused(tmp_path, training):
    with pytest.raises(ValueError, match=r'(?s)does not fit.*other shape: backbone.weight.*other shape: backbone.bias'):
        runner(tmp_path, training).load_checkpoint(save(tmp_path, width=5))


def test_another_head_is_refused_in_testing_and_trained_anew_in_fine_tuning(tmp_path):
    path = save(tmp_path, num_classes=3)
    with pytest.raises(ValueError, match=r'(?s)other shape: head.weight.*other shape: head.bias'):
        runner(tmp_path).load_checkpoint(path)
    fine_tuning = runner(tmp_path, training=True)
    untouched = fine_tuning.model.head.weight.clone()
    fine_tuning.load_checkpoint(path)
    assert torch.equal(fine_tuning.model.backbone.weight, torch.load(path)['state_dict']['backbone.weight'])
    assert torch.equal(fine_tuning.model.head.weight, untouched)


def test_missing_and_left_over_weights_are_named(tmp_path):
    path = tmp_path / 'checkpoint.pth'
    state = TinyNet().state_dict()
    state['neck.extra'] = state.pop('head.bias')
    torch.save({'state_dict': state}, path)
    with pytest.raises(ValueError, match=r'(?s)missing: head.bias.*left over: neck.extra'):
        runner(tmp_path).load_checkpoint(str(path))
