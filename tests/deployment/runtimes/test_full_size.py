import numpy as np
import pytest
import torch
import torch.nn.functional as F

from projects.deployment.model_info import SEGMENTATION, ModelInfo
from projects.deployment.runtimes.full_size import FullSizeSession, label_map, sigmoid_map

INFO = ModelInfo(SEGMENTATION, (), (), (0, 0, 0), (1, 1, 1))


def logits_of(height, width, number, seed=0, smooth=True):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, number, max(height // 4, 2), max(width // 4, 2), generator=generator)
    maps = F.interpolate(coarse, (height, width), mode='bicubic') if smooth else coarse
    return maps + 0.1 * torch.randn(maps.shape, generator=generator)


def resized(logits, size):
    return F.interpolate(logits, size, mode='bilinear')[0]


@pytest.mark.parametrize('number', [2, 19, 150, 300])
@pytest.mark.parametrize('size', [(64, 96), (61, 97), (16, 24), (17, 25), (128, 333)])
def test_labels_are_those_of_logits_at_full_size(size, number):
    logits = logits_of(16, 24, number)
    found = label_map(logits[0].permute(1, 2, 0).contiguous().numpy(), size)
    assert found.dtype == (np.uint8 if number <= 256 else np.int32)
    full = resized(logits, size)
    first, second = full.topk(2, dim=0).values
    differs = torch.from_numpy(found.astype(np.int64)) != full.argmax(0)
    assert not (differs & (first - second > 1e-5)).any()
    assert differs.float().mean() < 1e-3


def test_a_class_that_wins_nowhere_among_the_logits_wins_between_them():
    # at the corners 3 and 0, or 0 and 3, and 2 at all of them: in the middle 1.5, 1.5 and 2
    logits = np.array([[[3, 0, 2], [0, 3, 2]]], np.float32)
    assert label_map(logits, (1, 8)).tolist() == [[0, 0, 0, 2, 2, 1, 1, 1]]


def test_equal_logits_are_of_the_first_class():
    assert not label_map(np.zeros((3, 4, 5), np.float32), (9, 12)).any()


@pytest.mark.parametrize('size', [(64, 96), (61, 97)])
def test_probabilities_of_one_class(size):
    logits = logits_of(16, 24, 1)
    found = sigmoid_map(logits[0].permute(1, 2, 0).numpy(), size)
    np.testing.assert_allclose(found, resized(logits, size).sigmoid()[0].numpy(), atol=1e-5)


def test_images_are_padded_as_the_graph_pads_them_and_cropped():
    logits = logits_of(8, 12, 4)
    session = FullSizeSession(
        lambda images: {'logits': logits.permute(0, 2, 3, 1).contiguous().numpy()},
        ModelInfo(SEGMENTATION, (), (), (0, 0, 0), (1, 1, 1), size_divisor=32),
    )
    (labels,) = session(np.zeros((1, 50, 90, 3), np.uint8))['labels']
    np.testing.assert_array_equal(labels, resized(logits, (64, 96)).argmax(0)[:50, :90].numpy())


def test_large_logits_of_either_sign_are_probabilities_without_warnings(recwarn):
    found = sigmoid_map(np.array([[[-200.0], [200.0]]], np.float32), (1, 2))
    np.testing.assert_allclose(found, [[0, 1]], atol=1e-30)
    assert not recwarn.list
