"""RoI pooling that mixed precision does not round, and losses that do not depend on the number of processes."""

from pathlib import Path

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

import projects.training  # noqa: F401 (registers)
from tests.processes import call_in_clean_processes

ROOT = Path(__file__).parents[2]
EXTRACTOR = {
    'roi_layer': {'type': 'RoIAlign', 'output_size': 7, 'sampling_ratio': 0},
    'out_channels': 2,
    'featmap_strides': [4, 8],
}


@pytest.fixture
def inputs():
    """Ramps, whose pooled values are the coordinates themselves, and RoIs far from the origin."""
    ramp = torch.arange(256.0) / 256
    maps = [ramp[:size].expand(1, 2, size, size) for size in (256, 128)]
    rois = torch.tensor([[0.0, 902.0, 906.0, 942.0, 950.0], [0.0, 517.0, 10.0, 835.0, 333.0]])
    return maps, rois


def test_rois_are_not_rounded_with_the_features(inputs):
    maps, rois = inputs
    exact = MODELS.build({'type': 'FullPrecisionRoIExtractor', **EXTRACTOR})
    rounding = MODELS.build({'type': 'mmdet.SingleRoIExtractor', **EXTRACTOR})
    reference = rounding(maps, rois)
    assert torch.equal(exact(maps, rois), reference)
    halves = [feature.bfloat16() for feature in maps]
    expected = rounding([feature.float() for feature in halves], rois)
    assert torch.equal(exact(halves, rois), expected.bfloat16())  # takes half of the memory until the backward pass
    rounded = rounding([feature.float() for feature in halves], rois.bfloat16().float())
    assert (rounded - expected).abs().max() > 0.25 / 256  # what mmdet does: more than a quarter of a cell off


def write_loss(rank, world_size, folder):
    """Write the total loss of RetinaNet's head on the images of one of the processes, of two with 2 and 9 objects."""
    torch.set_num_threads(1)
    if world_size > 1:
        torch.distributed.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=world_size)
    cfg = Config.fromfile(ROOT / 'configs' / 'shvit_retinanet_coco.py')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    head_cfg = dict(cfg.model.bbox_head, in_channels=8, feat_channels=8, stacked_convs=1)
    head = MODELS.build(head_cfg | {'train_cfg': cfg.model.train_cfg, 'test_cfg': cfg.model.test_cfg})
    maps = [torch.randn(2, 8, 2 ** (4 - level), 2 ** (4 - level)) for level in range(5)]
    samples = demo_mm_inputs(2, [(3, 128, 128)] * 2, num_items=[2, 9], num_classes=80)['data_samples']
    for sample in samples:
        sample.set_metainfo({'pad_shape': (128, 128), 'batch_input_shape': (128, 128)})
    own = range(rank, 2, world_size)
    losses = head.loss(tuple(feature[list(own)] for feature in maps), [samples[index] for index in own])
    (folder / f'{rank}.txt').write_text(str(sum(sum(values).item() for values in losses.values())))


def total_losses(folder, world_size):
    folder.mkdir()
    call_in_clean_processes(write_loss, *((rank, world_size, folder) for rank in range(world_size)))
    return [float((folder / f'{rank}.txt').read_text()) for rank in range(world_size)]


def test_retinanet_losses_of_two_processes_average_to_that_of_one(tmp_path):
    (one,) = total_losses(tmp_path / 'one', 1)
    two = total_losses(tmp_path / 'two', 2)
    assert abs(two[0] - two[1]) > 0.01 * one  # the images differ in their number of objects
    assert sum(two) / 2 == pytest.approx(one, rel=1e-5)
