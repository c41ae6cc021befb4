"""The command lines on a segmentation config: trained on two processes, scored alike on one and on two."""

import re

import numpy as np
from PIL import Image

from tests.processes import run_tool

CONFIG = 'configs/efficientvit_mit_b0_seg_cityscapes.py'
LENGTH = ('train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2')


def run(folder, processes, tool, *arguments, options=()):
    """What a tool prints, run from `folder` on the sample, on the first three images of the validation set."""
    how = ('--launcher', 'pytorch') if processes > 1 else ()
    options = ('val_dataloader.dataset.indices=3', 'test_dataloader.dataset.indices=3', *options)
    arguments = (CONFIG, *arguments, '--sample', *how, '--cfg-options', *options)
    process = run_tool(tool, *arguments, cwd=folder, processes=processes)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout + process.stderr


def score(output):
    return re.findall(r'aAcc: \S+ +mIoU: \S+ +mAcc: \S+', output)[-1]


def label_maps(folder):
    return {path.name: np.asarray(Image.open(path)) for path in folder.iterdir()}


def test_two_processes_merge_their_scores_and_write_all_label_maps(tmp_path):
    run(tmp_path, 2, 'train.py', '--work-dir', 'work', options=LENGTH)
    one = run(tmp_path, 1, 'test.py', 'work/iter_2.pth', '--out', 'maps/one')
    two = run(tmp_path, 2, 'test.py', 'work/iter_2.pth', '--out', 'maps/two')
    assert score(one) == score(two)
    expected, found = label_maps(tmp_path / 'maps' / 'one'), label_maps(tmp_path / 'maps' / 'two')
    assert len(expected) == 3
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
