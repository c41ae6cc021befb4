"""The same random samples as mmseg's own transforms make, from the same seeds."""

import numpy as np
import pytest
import torch
from mmseg.datasets.transforms import PackSegInputs, PhotoMetricDistortion, RandomCrop

from projects.training.segmentation_transforms import CropSegmentation, DistortColors, PackSegmentation


def sample(seed, size=(60, 90), classes=(0, 5, 255)):
    """Labels of a few large areas, so that some crops hold too much of one class."""
    random = np.random.default_rng(seed)
    labels = random.choice(classes, (size[0] // 30, size[1] // 30)).astype(np.uint8).repeat(30, 0).repeat(30, 1)
    image = random.integers(256, size=(*size, 3), dtype=np.uint8)
    return {'img': image, 'gt_seg_map': labels, 'seg_fields': ['gt_seg_map'], 'img_shape': size}


@pytest.mark.parametrize('ratio', [1.0, 0.75])
@pytest.mark.parametrize('size', [(24, 32), (70, 40)])
def test_crops(ratio, size):
    drawn = []
    for seed in range(40):
        found = []
        for kind in (CropSegmentation, RandomCrop):
            np.random.seed(seed)
            results = kind(crop_size=size, cat_max_ratio=ratio)(sample(seed))
            found.append((results['img'], results['gt_seg_map'], results['img_shape'], np.random.random()))
        for ours, theirs in zip(*found, strict=True):
            assert np.array_equal(ours, theirs)
        drawn.append(found[0][3])
    assert len({*drawn}) == 40


@pytest.mark.parametrize('options', [{}, {'hue_delta': 90, 'brightness_delta': 200, 'saturation_range': (0.0, 3.0)}])
def test_colors(options):
    for seed in range(40):
        images = []
        for kind in (DistortColors, PhotoMetricDistortion):
            np.random.seed(seed)
            images.append(kind(**options)(sample(seed))['img'])
            images.append(np.random.random())
        assert images[0].dtype == np.uint8
        assert np.array_equal(images[0], images[2])
        assert images[1] == images[3]


def test_labels_are_packed_in_8_bits_and_are_a_copy():
    given = sample(0)
    ours, theirs = (kind(meta_keys=('img_shape',))(dict(given)) for kind in (PackSegmentation, PackSegInputs))
    labels = ours['data_samples'].gt_sem_seg.data
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), theirs['data_samples'].gt_sem_seg.data)
    assert torch.equal(ours['inputs'], theirs['inputs'])
    assert ours['data_samples'].metainfo == theirs['data_samples'].metainfo
    labels += 1
    assert np.array_equal(given['gt_seg_map'], sample(0)['gt_seg_map'])
    assert 'gt_sem_seg' not in PackSegmentation()({'img': given['img']})['data_samples']
