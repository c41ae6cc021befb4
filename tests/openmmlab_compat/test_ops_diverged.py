"""What a diverged step brings along: NaN, infinity and huge numbers end no process and never look like a result."""

import pytest
import torch
import torchvision

import projects.openmmlab_compat  # noqa: F401  # isort: skip  before anything of mmcv
import mmcv.ops
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

BAD = [float('nan'), float('inf'), float('-inf'), 1e30, -3e38]
NOT_FINITE = BAD[:3]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def convolve(version, x, offset, weight):
    if version == 1:
        return mmcv.ops.deform_conv2d(x, offset, weight, 1, 1)
    return mmcv.ops.modulated_deform_conv2d(x, offset, torch.ones(2, 9, 5, 6).to(x), weight, None, 1, 1)


@pytest.mark.parametrize('version', [1, 2])
@pytest.mark.parametrize('bad', BAD)
def test_points_of_deformable_convolution_without_a_place_count_as_zero(version, bad):
    x, weight = torch.randn(2, 3, 5, 6, dtype=torch.float64), torch.randn(4, 3, 3, 3, dtype=torch.float64)
    offset = torch.randn(2, 18, 5, 6, dtype=torch.float64)
    outside = offset.clone()
    outside[0, 8, 2, 3] = 100.0  # y of the middle point of one pixel; x of the last points of an image
    outside[1, 17] = -100.0
    lost = outside.where(outside.abs() < 100, bad).requires_grad_()
    leaves = [t.requires_grad_() for t in (x, weight)]
    out, expected = convolve(version, x, lost, weight), convolve(version, x, outside.requires_grad_(), weight)
    assert torch.equal(out, expected)
    upstream = torch.randn_like(out)
    grads = torch.autograd.grad(out, [*leaves, lost], upstream)
    for grad, reference in zip(grads, torch.autograd.grad(expected, [*leaves, outside], upstream), strict=True):
        assert torch.equal(grad, reference)
    assert grads[2][0, 8:10, 2, 3].tolist() == [0, 0]


@pytest.mark.parametrize('version', [1, 2])
def test_points_exactly_one_pixel_outside_have_no_gradient(version):
    x = torch.arange(1.0, 31).view(1, 1, 5, 6)
    offset = torch.zeros(1, 18, 5, 6, requires_grad=True)
    weight = torch.ones(1, 1, 3, 3)
    if version == 1:
        out = mmcv.ops.deform_conv2d(x, offset, weight, 1, 1)
    else:
        out = mmcv.ops.modulated_deform_conv2d(x, offset, torch.ones(1, 9, 5, 6), weight, None, 1, 1)
    grad = torch.autograd.grad(out.sum(), offset)[0].view(3, 3, 2, 5, 6)
    assert not grad[0, :, :, 0].any()  # the first row of points, at y = -1
    assert not grad[:, 0, :, :, 0].any()
    assert not grad[2, :, :, 4].any()  # at y = 5
    assert (grad[1, 1, 0, :4] == 6).all()  # inside: one row further is 6 more
    assert (grad[1, 1, 1, :, :5] == 1).all()


@pytest.mark.parametrize('bad', BAD)
def test_points_of_deformable_attention_without_a_place_count_as_zero(bad):
    shapes, starts = torch.tensor([[3, 4], [2, 2]]), torch.tensor([0, 12])
    value = torch.randn(2, 16, 2, 3, dtype=torch.float64, requires_grad=True)
    outside = torch.rand(2, 5, 2, 2, 3, 2, dtype=torch.float64)
    outside[0, 1, 0, 1, 2, 0] = outside[1, 2] = 50.0
    lost = outside.where(outside < 50, bad).requires_grad_()
    weights = torch.rand(2, 5, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    out, expected = (
        MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)
        for locations in (lost, outside)
    )
    assert torch.equal(out, expected)
    grads = torch.autograd.grad(out.sum(), [value, lost, weights])
    assert all(grad.isfinite().all() for grad in grads)
    assert not grads[1][1, 2].any()


POOLINGS = {
    'roi_align': lambda x, rois, ratio: mmcv.ops.roi_align(x, rois, 2, 0.5, ratio),
    'roi_align_unaligned': lambda x, rois, ratio: mmcv.ops.roi_align(x, rois, 2, 0.5, ratio, 'avg', False),
    'roi_pool': lambda x, rois, ratio: mmcv.ops.roi_pool(x, rois, 2, 0.5),
    'deform_roi_pool': lambda x, rois, ratio: mmcv.ops.deform_roi_pool(x, rois, None, 2, 0.5, ratio),
    'roi_align_rotated': lambda x, rois, ratio: mmcv.ops.roi_align_rotated(
        x, torch.cat([rois, rois.new_zeros(len(rois), 1)], 1), 2, 0.5, ratio
    ),
}


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('name', POOLINGS)
@pytest.mark.parametrize('bad', NOT_FINITE)
def test_regions_that_are_not_finite_give_nan_and_leave_the_others_alone(name, bad, ratio):
    x = torch.randn(1, 2, 8, 9, requires_grad=True)
    good = [0.0, 2, 3, 9, 8]
    rois = torch.tensor([good, [0, 2, bad, 9, 8], [0, bad, bad, bad, bad], [0, 1, 1, bad, 4], [bad, 1, 1, 4, 4], good])
    out = POOLINGS[name](x, rois, ratio)
    alone = POOLINGS[name](x, rois[:1], ratio)
    assert out[1:5].isnan().all()
    assert torch.equal(out[[0, 5]], alone.expand(2, -1, -1, -1))
    grad = torch.autograd.grad(out.sum(), x)[0]
    torch.testing.assert_close(grad, 2 * torch.autograd.grad(alone.sum(), x)[0])


@pytest.mark.parametrize('ratio', [0, 2])
def test_the_way_through_torchvision_takes_regions_of_nan_too(ratio):
    x = torch.rand(1, 2, 8, 9)
    rois = torch.tensor([[0, float('nan'), 1, 4, 4], [0, 1, 1, float('nan'), 4], [0, 1, 1, 4, 4]])
    out, own = (mmcv.ops.RoIAlign(2, 0.5, ratio, use_torchvision=use)(x, rois) for use in (True, False))
    assert out[:2].isnan().all()
    assert torch.equal(out[2], own[2])
    torch.testing.assert_close(out[2:], torchvision.ops.roi_align(x, rois[2:], 2, 0.5, ratio, True))


@pytest.mark.parametrize('name', POOLINGS)
@pytest.mark.parametrize('extent', [1e3, 1e6, 1e12, 1e30, 2e38])
def test_huge_regions_need_no_memory(name, extent):
    x = torch.rand(1, 2, 8, 9, requires_grad=True)
    rois = torch.tensor([[0, -extent, -extent, extent, extent], [0, 0, 0, extent, 8], [0, extent, extent, -extent, 0]])
    out = POOLINGS[name](x, rois, 0)
    grad = torch.autograd.grad(out.sum(), x)[0]
    assert grad.isfinite().all() or extent == 2e38  # its sides overflow
    assert out[1].isfinite().all()


@pytest.mark.parametrize(
    ('aligned', 'rows', 'columns'),
    [
        # Samples at ..., -1 (on the border), 0, 1, ..., 5 (on the border) in x, at 0, 1, ..., 6 (on the border) in y.
        (True, [1, 1, 1, 1, 1, 2], [2, 1, 1, 1, 2]),
        # Samples at ..., -0.5 (on the border), 0.5, ..., 3.5, 4.5 (on the border) in x, at 0.5, ..., 5.5 in y.
        (False, [0.5, 1, 1, 1, 1, 1.5], [1.5, 1, 1, 1, 1.5]),
    ],
)
def test_means_over_huge_regions_are_those_of_their_definition(aligned, rows, columns):
    x = torch.rand(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    region = torch.tensor([[0.0, -300, 0, 500, 1000]], dtype=torch.float64)  # 2 x 2 bins of 400 x 500 cells
    out = mmcv.ops.roi_align(x, region, 2, 1.0, 0, 'avg', aligned)
    weights = torch.tensor(rows, dtype=torch.float64)[:, None] * torch.tensor(columns, dtype=torch.float64) / 200_000
    expected = (x * weights).sum(dim=(2, 3))
    torch.testing.assert_close(out[:, :, 0, 0], expected)
    assert out.count_nonzero() == 2
    torch.testing.assert_close(torch.autograd.grad(out.sum(), x)[0], weights.expand_as(x))


@pytest.mark.parametrize('name', POOLINGS)
def test_a_region_of_an_image_that_is_not_there_is_named(name):
    rois = torch.tensor([[0.0, 0, 0, 4, 4], [3, 0, 0, 4, 4]])
    with pytest.raises(ValueError, match=r'region 1 is in image 3, the batch has 2 images'):
        POOLINGS[name](torch.rand(2, 2, 8, 9), rois, 2)


@pytest.mark.parametrize('bad', NOT_FINITE)
def test_suppression_goes_on_with_boxes_and_scores_that_are_not_finite(bad):
    boxes = torch.tensor([[0.0, 0, 4, 4], [bad, 0, 4, 4], [bad] * 4, [0, 0, 4, 4], [9, 9, 12, 12]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    for keep in (
        mmcv.ops.nms(boxes, scores, 0.5)[1].tolist(),
        [group[0].item() for group in mmcv.ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.5)],
        mmcv.ops.soft_nms(boxes, scores, 0.5, method='naive')[1].tolist(),
    ):
        assert {0, 4} <= set(keep)
        assert 3 not in keep
    rotated = torch.tensor([[2.0, 2, 4, 4, 0], [bad, 2, 4, 4, 0], [2, 2, 4, bad, 0], [2, 2, 4, 4, 0], [9, 9, 2, 2, 1]])
    keep = mmcv.ops.nms_rotated(rotated, scores, 0.5)[1].tolist()
    assert {0, 4} <= set(keep)
    assert 3 not in keep
    mmcv.ops.nms(boxes, torch.full((5,), bad), 0.5)


@pytest.mark.parametrize('loss', [mmcv.ops.sigmoid_focal_loss, mmcv.ops.softmax_focal_loss])
def test_focal_loss_of_nan_is_nan(loss):
    logits = torch.zeros(2, 5)
    logits[1, 2] = float('nan')
    assert loss(logits, torch.tensor([0, 2]), 2.0, 0.25, None, 'sum').isnan()
