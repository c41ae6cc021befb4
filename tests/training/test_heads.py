"""RoI pooling that mixed precision does not round."""

import pytest
import torch
from mmengine.registry import MODELS

import projects.training  # noqa: F401 (registers)

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
    assert torch.equal(exact(halves, rois), expected)
    rounded = rounding([feature.float() for feature in halves], rois.bfloat16().float())
    assert (rounded - expected).abs().max() > 0.25 / 256  # what mmdet does: more than a quarter of a cell off
