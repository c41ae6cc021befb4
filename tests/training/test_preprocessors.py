"""The same batches as mmdet's and mmseg's own preprocessors make."""

import copy

import numpy as np
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from projects.training.instance_masks import PolygonMasks
from projects.training.preprocessors import QuickDetDataPreprocessor, QuickSegDataPreProcessor, are_bytes

COLORS = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375]}
SIZES = [(37, 50), (40, 41)]


def images(dtype=torch.uint8, channels=3, sizes=SIZES):
    torch.manual_seed(0)
    return [torch.randint(256, (channels, *size)).to(dtype) for size in sizes]


def detection(size):
    found = InstanceData(bboxes=torch.tensor([[1.0, 2, 9, 8]]), labels=torch.tensor([3]))
    found.masks = PolygonMasks([[np.array([1.0, 2, 9, 2, 9, 8])]], *size)
    return DetDataSample(gt_instances=found, metainfo={'img_shape': size})


def segmentation(size, dtype):
    labels = torch.from_numpy(np.random.default_rng(0).integers(19, size=(1, *size))).to(dtype)
    return SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo={'img_shape': size})


def test_the_values_are_bytes_in_all_of_these_tests():
    assert are_bytes(images(), QuickDetDataPreprocessor(**COLORS))
    for other in (images(torch.float32), images(channels=1), torch.stack(images(sizes=[(4, 4)] * 2))):
        assert not are_bytes(other, QuickDetDataPreprocessor(**COLORS))
    assert not are_bytes(images(), QuickDetDataPreprocessor())


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_detection_as_mmdet(training, dtype, bgr_to_rgb):
    options = COLORS | {'bgr_to_rgb': bgr_to_rgb, 'pad_size_divisor': 32, 'pad_mask': True, 'pad_value': 7}
    batch = {'inputs': images(dtype), 'data_samples': [detection(size) for size in SIZES]}
    before = copy.deepcopy(batch)
    ours = QuickDetDataPreprocessor(**options)(batch, training)
    theirs = DetDataPreprocessor(**options)(before, training)
    assert torch.equal(ours['inputs'], theirs['inputs'])
    assert ours['inputs'].shape == (2, 3, 64, 64)
    for one, other in zip(ours['data_samples'], theirs['data_samples'], strict=True):
        assert one.metainfo == other.metainfo
        assert (
            one.gt_instances.masks.height == other.gt_instances.masks.height == (64 if training else one.img_shape[0])
        )


@pytest.mark.parametrize('size', [{'size': (48, 64)}, {'size_divisor': 32}])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_training_of_segmentation_as_mmseg(size, dtype):
    options = COLORS | size | {'bgr_to_rgb': True, 'pad_val': 3, 'seg_pad_val': 254}
    ours = {'inputs': images(dtype), 'data_samples': [segmentation(one, torch.uint8) for one in SIZES]}
    theirs = {'inputs': images(dtype), 'data_samples': [segmentation(one, torch.int64) for one in SIZES]}
    kept = copy.deepcopy(ours)
    found = QuickSegDataPreProcessor(**options)(ours, training=True)
    expected = SegDataPreProcessor(**options)(theirs, training=True)
    assert torch.equal(found['inputs'], expected['inputs'])
    for one, other in zip(found['data_samples'], expected['data_samples'], strict=True):
        assert one.metainfo == other.metainfo
        assert one.gt_sem_seg.data.dtype == torch.int64
        assert torch.equal(one.gt_sem_seg.data, other.gt_sem_seg.data)
    for one, other in zip(ours['data_samples'], kept['data_samples'], strict=True):
        assert torch.equal(one.gt_sem_seg.data, other.gt_sem_seg.data), 'what was given stays as it was'


@pytest.mark.parametrize('test_cfg', [None, {'size_divisor': 32}])
def test_testing_of_segmentation_as_mmseg(test_cfg):
    options = COLORS | {'size': (48, 64), 'test_cfg': test_cfg}
    alike = [SIZES[0]] * 2
    ours, theirs = (
        kind(**options)(
            {'inputs': images(sizes=alike), 'data_samples': [segmentation(one, torch.uint8) for one in alike]}
        )
        for kind in (QuickSegDataPreProcessor, SegDataPreProcessor)
    )
    assert torch.equal(ours['inputs'], theirs['inputs'])
    assert [one.metainfo for one in ours['data_samples']] == [one.metainfo for one in theirs['data_samples']]
    with pytest.raises(AssertionError, match='should be the same'):
        QuickSegDataPreProcessor(**COLORS, size=(48, 64))({'inputs': images()})
