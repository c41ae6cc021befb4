"""The gradient of RoIAlign as matrix products equals torchvision's kernel."""

import pytest
import torch

from projects.openmmlab_compat.roi_align_cpu import roi_align_gradient


def random_case(num_rois, shape, bins):
    """RoIs of all sizes inside, across and outside the border of maps at stride 4, some without area."""
    torch.manual_seed(0)
    batch, channels, height, width = shape
    corner = torch.rand(num_rois, 2, dtype=torch.float64) * torch.tensor([width, height]) * 6 - 20
    size = torch.rand(num_rois, 2, dtype=torch.float64).pow(3) * 200
    size[::7] = 0
    images = torch.randint(0, batch, (num_rois, 1)).double()
    grad = torch.randn(num_rois, channels, *bins, dtype=torch.float64)
    return grad, torch.cat([images, corner, corner + size], dim=1)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 1, 3])
@pytest.mark.parametrize(
    ('num_rois', 'shape', 'bins'), [(60, (2, 3, 33, 70), (7, 7)), (5, (3, 2, 1, 9), (2, 5)), (0, (1, 2, 4, 4), (7, 7))]
)
def test_equals_torchvision(num_rois, shape, bins, sampling_ratio, aligned):
    grad, rois = random_case(num_rois, shape, bins)
    expected = torch.ops.torchvision._roi_align_backward(grad, rois, 0.25, *bins, *shape, sampling_ratio, aligned)
    ours = roi_align_gradient(grad, rois, 0.25, shape, sampling_ratio, aligned)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    assert num_rois == 0 or expected.abs().max() > 0
