"""What a run does around its training: the end of its parent, its curve, the levels that a head takes."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.logging import MessageHub

import projects.efficient_models
import projects.openmmlab_compat  # noqa: F401
from projects.training.experiments.hooks import CURVE, RecordCurve
from projects.training.experiments.runs import end_with_parent, match_head_to_backbone


def wait(stdin, waits):
    os.dup2(os.open(stdin, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=end_with_parent, daemon=True).start()
    waits.touch()
    try:
        time.sleep(2)
    except KeyboardInterrupt:
        sys.exit(130)


@pytest.mark.parametrize(('is_pipe', 'code'), [(True, 130), (False, 0)])
def test_a_run_is_interrupted_when_the_pipe_from_its_parent_closes_and_by_no_other_input(
    is_pipe, code, tmp_path, clean_processes
):
    stdin = tmp_path / 'pipe' if is_pipe else Path(os.devnull)
    if is_pipe:
        os.mkfifo(stdin)
    process = clean_processes.Process(target=wait, args=(stdin, tmp_path / 'waits'))
    process.start()
    end = os.open(stdin, os.O_WRONLY)  # once the process has opened its own
    while not (tmp_path / 'waits').exists():
        time.sleep(0.01)
    time.sleep(0.1)
    assert process.is_alive()
    os.close(end)
    process.join(20)
    assert process.exitcode == code


def test_a_curve_tells_the_iteration_of_each_score_though_a_validation_was_lost():
    runner = SimpleNamespace(iter=32, message_hub=MessageHub('curve'))
    RecordCurve().after_val_epoch(runner, {'building/f1': 40.0})
    runner.iter = 96  # interrupted in the validation after 64
    RecordCurve().after_val_epoch(runner, {'building/f1': 60.0})
    assert runner.message_hub.get_info(CURVE) == {32: 40.0, 96: 60.0}


@pytest.mark.parametrize(
    ('decoder', 'indices', 'channels', 'strides'),
    [
        ('Unet', [0, 1, 2, 3, 4], [64, 64, 128, 256, 512], [2, 4, 8, 16, 32]),
        ('DeepLabV3Plus', [0, 1, 2, 3], [64, 64, 128, 256], [2, 4, 8, 16]),
    ],
)
def test_a_head_takes_all_levels_of_the_backbone_as_smp_does(decoder, indices, channels, strides):
    backbone = {'type': 'TimmBackbone', 'arch': 'resnet18', 'pretrained': True}
    cfg = Config({'default_scope': 'mmseg', 'model': {'backbone': backbone, 'decode_head': {'decoder': decoder}}})
    match_head_to_backbone(cfg)
    assert cfg.model.backbone.out_indices == indices
    assert cfg.model.decode_head.in_channels == channels
    assert cfg.model.decode_head.strides == strides


def test_a_head_leaves_out_levels_coarser_than_32():
    backbone = {'type': 'SHViT', 'arch': 's1'}
    cfg = Config({'default_scope': 'mmseg', 'model': {'backbone': backbone, 'decode_head': {'decoder': 'Unet'}}})
    match_head_to_backbone(cfg)
    assert cfg.model.decode_head.strides == [2, 4, 8, 16, 32]
