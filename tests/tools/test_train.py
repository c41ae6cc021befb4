"""The command lines, run for real: training, killing, resuming, two processes, testing.

All runs train a narrow Mask R-CNN with SHViT-S1 on 16 images of the generated sample: 3 epochs of 4 iterations.
"""

import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image

from tests.processes import run_tool

ROOT = Path(__file__).parents[2]
TINY = f"""
_base_ = '{ROOT}/configs/shvit_s1_maskrcnn_coco.py'
model = dict(
    neck=dict(out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=32),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(in_channels=16, conv_out_channels=16, num_convs=1),
    ),
)
custom_imports = dict(imports=['projects.openmmlab_compat', 'projects.efficient_models', 'projects.training', 'faults'])
custom_hooks = [dict(type='Curves'), dict(type='Fault')]
log_processor = dict(window_size=1)
"""
# A hook that kills its own process where the environment says so.
FAULTS = """
import os, signal
import huggingface_hub.constants
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

if folder := os.environ.get('OFFLINE_WITH'):  # of downloads; the library has read its own variables by now
    huggingface_hub.constants.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_CACHE = True, folder

@HOOKS.register_module()
class Fault(Hook):
    fault = os.environ.get('FAULT', '')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.fault.endswith(f' after iteration {runner.iter + 1}'):
            self.strike()

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.fault.endswith(' in the last validation') and runner.epoch == runner.max_epochs:
            self.strike()

    def strike(self):
        name, target = self.fault.split()[:2]
        if target == 'group':  # as launchers do, to the loader processes too
            os.killpg(os.getpgid(0), getattr(signal, name))
        else:
            os.kill(os.getpid(), getattr(signal, name))

    def before_save_checkpoint(self, runner, checkpoint):
        if self.fault == f'SIGKILL in checkpoint of epoch {checkpoint["meta"]["epoch"]}':
            os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)  # written, not yet renamed
"""
OPTIONS = [
    'train_dataloader.batch_size=4',
    'optim_wrapper.type=OptimWrapper',
    'train_dataloader.dataset.indices=16',
    'val_dataloader.dataset.indices=4',
    'test_dataloader.dataset.indices=4',
    'train_cfg.max_epochs=3',
    'train_cfg.val_interval=3',
    'model.backbone.norm_eval=True',
    'default_hooks.logger.interval=1',
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder far from the project, with the narrow config."""
    folder = tmp_path_factory.mktemp('elsewhere')
    (folder / 'tiny.py').write_text(TINY)
    (folder / 'faults.py').write_text(FAULTS)
    return folder


def run(folder, *arguments, fault='', options=(), processes=1, **env):
    """Run a tool from `folder`; returns the finished process."""
    options = ('--cfg-options', *OPTIONS, *options)
    return run_tool(*arguments, *options, cwd=folder, processes=processes, PYTHONPATH=str(folder), FAULT=fault, **env)


def losses(work_dir):
    """Loss of every iteration, over all runs in a work dir; where iterations were repeated, they must agree."""
    found = {}
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry:
                assert found.setdefault(entry['iter'], entry['loss']) == entry['loss']
    return found


def final_scores(output):
    return re.search(r'after training: +(box AP .*)', output)[1]


@pytest.fixture(scope='module')
def uninterrupted(folder):
    """The work dir and the output of a run from beginning to end."""
    process = run(folder, 'train.py', 'tiny.py', '--sample', '--work-dir', 'whole')
    assert process.returncode == 0, process.stderr
    return folder / 'whole', process.stdout + process.stderr


def test_a_run_leaves_results_for_people(uninterrupted):
    work_dir, output = uninterrupted
    for moment in ('before training', 'after training'):
        assert re.search(rf'{moment}: +box AP \S+ \(AP50 .* · mask AP', output)
    assert sorted(losses(work_dir)) == list(range(1, 13))
    assert {path.name for path in work_dir.glob('*.pth')} == {'epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth'}
    assert Image.open(work_dir / 'curves.png').size[0] > 1000
    pictures = list((work_dir / 'predictions' / 'epoch_3').glob('*.png'))
    assert len(pictures) == 4
    assert Image.open(pictures[0]).size == (320, 160)  # ground truth beside predictions
    assert (work_dir / 'tiny.py').is_file()


def test_a_run_interrupted_in_every_way_continues_with_the_same_losses(folder, uninterrupted):
    def step(fault, *resume):
        return run(folder, 'train.py', 'tiny.py', '--sample', '--work-dir', 'interrupted', *resume, fault=fault)

    work_dir = folder / 'interrupted'
    process = step('SIGINT process after iteration 2')
    assert process.returncode == 130, process.stderr
    assert 'stopped at iteration 3; `--resume` continues from interrupted.pth' in process.stderr + process.stdout
    assert step('SIGKILL process after iteration 6', '--resume').returncode == -signal.SIGKILL
    assert (work_dir / 'epoch_1.pth').is_file()
    assert step('SIGKILL in checkpoint of epoch 2', '--resume').returncode == -signal.SIGKILL
    assert not (work_dir / 'epoch_2.pth').exists()
    assert list(work_dir.glob('.epoch_2.pth.*.tmp'))  # swept away by the next attempt
    process = step('SIGINT process in the last validation', '--resume')
    assert process.returncode == 130, process.stderr
    assert 'stopped during validation' in process.stderr + process.stdout
    process = step('', '--resume')
    assert process.returncode == 0, process.stderr
    assert final_scores(process.stdout + process.stderr) == final_scores(uninterrupted[1])
    assert losses(work_dir) == losses(uninterrupted[0])
    assert not list(work_dir.glob('.*.tmp'))


def test_a_terminated_group_with_loader_processes_saves_and_continues(folder, uninterrupted):
    def step(fault, *resume):
        arguments = ('train.py', 'tiny.py', '--sample', '--work-dir', 'terminated', *resume)
        return run(folder, *arguments, fault=fault, options=['train_dataloader.num_workers=2'])

    process = step('SIGTERM group after iteration 5')
    assert process.returncode == 130, process.stderr
    assert 'stopped at iteration 6' in process.stderr + process.stdout
    assert step('', '--resume').returncode == 0
    assert losses(folder / 'terminated') == losses(uninterrupted[0])


def test_resuming_in_the_middle_of_an_epoch_needs_the_same_batches(folder):
    arguments = ('train.py', 'tiny.py', '--sample', '--work-dir', 'rebatched')
    assert run(folder, *arguments, fault='SIGINT process after iteration 2').returncode == 130
    process = run(folder, *arguments, '--resume', options=['train_dataloader.batch_size=2'])
    assert process.returncode == 1
    assert 'in the middle of an epoch of 4 iterations, which has 8 now' in process.stderr


def test_two_processes_compute_what_one_computes_on_the_doubled_batch(folder, uninterrupted):
    process = run(
        folder,
        *('train.py', 'tiny.py', '--sample', '--work-dir', 'two', '--launcher', 'pytorch'),
        options=['train_dataloader.batch_size=2'],
        processes=2,
    )
    assert process.returncode == 0, process.stderr
    assert final_scores(process.stdout + process.stderr)  # gathered from both
    one, two = losses(uninterrupted[0]), losses(folder / 'two')
    one, two = ([found[index] for index in range(1, 13)] for found in (one, two))
    # later, float noise reorders proposals of nearly equal scores, and the two part
    assert two[:6] == pytest.approx(one[:6], rel=1e-5)


def test_bad_images_are_named_and_skipped(folder, uninterrupted):
    data_root = folder / 'damaged'
    shutil.copytree(ROOT / 'data' / 'sample' / 'coco', data_root)
    damaged = []
    for split in ('train2017', 'val2017'):
        first = json.loads((data_root / f'annotations/instances_{split}.json').read_text())['images'][0]['file_name']
        path = data_root / split / first
        path.write_bytes(path.read_bytes()[:-100])
        damaged.append(path.name)
    process = run(
        folder,
        *('train.py', 'tiny.py', '--sample', '--work-dir', 'survived'),
        options=[
            f'data_root={data_root}',
            'train_cfg.max_epochs=1',
            'train_cfg.val_interval=1',
            'train_dataloader.dataset.max_unreadable_share=0.1',
            'val_dataloader.dataset.max_unreadable_share=0.3',
        ],
    )
    assert process.returncode == 0, process.stderr
    log = next((folder / 'survived').glob('*/*.log')).read_text()
    for name in damaged:
        assert len(re.findall(rf'skipped unreadable image 1 of \d+: .*{name}: image file is truncated', log)) == 1


def test_a_checkpoint_is_scored_and_drawn(folder, uninterrupted):
    checkpoint = uninterrupted[0] / 'epoch_3.pth'
    process = run(folder, 'test.py', 'tiny.py', str(checkpoint), '--sample', '--show-dir', 'shown', '--out', 'found')
    assert process.returncode == 0, process.stderr
    assert final_scores(uninterrupted[1]) in process.stdout + process.stderr
    assert len(list((folder / 'shown').glob('*.png'))) == 4
    for kind, field in (('bbox', 'bbox'), ('segm', 'segmentation')):
        assert all(field in found for found in json.loads((folder / f'found.{kind}.json').read_text()))


def test_a_checkpoint_of_another_size_is_refused(folder, uninterrupted):
    process = run(
        folder,
        *('test.py', 'tiny.py', str(uninterrupted[0] / 'epoch_3.pth'), '--sample'),
        options=['model.backbone.arch=s2', 'model.neck.in_channels=[128,308,448]'],
    )
    assert process.returncode == 1
    assert re.search(r'epoch_3\.pth does not fit the model of this config', process.stderr)


def test_without_data_the_error_says_what_to_do(folder):
    process = run(folder, 'train.py', f'{ROOT}/configs/shvit_maskrcnn_coco.py', options=['data_root=nowhere'])
    assert process.returncode == 1
    for hint in ('nowhere/annotations/instances_train2017.json', 'cocodataset.org', '--sample', 'data/README.md'):
        assert hint in process.stderr


def test_offline_the_error_says_how_to_do_without_published_weights(folder, uninterrupted):
    process = run(
        folder,
        *('train.py', 'tiny.py', '--sample', '--work-dir', 'offline'),
        options=['model.backbone.pretrained=True'],
        OFFLINE_WITH=str(folder / 'empty'),
    )
    assert process.returncode == 1
    assert "pretrained='" in process.stderr
    assert 'model.backbone.pretrained=False' in process.stderr
