"""Attention, reassembly and masked convolution, offset maps of DyHead, matching suppression, against plain loops.

The functions that mmcv keeps for GPUs run here on tensors of the processor, where its modules would not call them.
"""

import itertools
import sys

import pytest
import torch

import projects.openmmlab_compat  # noqa: F401  # isort: skip  before anything of mmcv
import mmcv.ops
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmcv.ops.sync_bn import SyncBatchNormFunction
from torch.autograd import gradcheck
from torch.nn import functional as F

HALVES = [torch.float16, torch.bfloat16]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# --- multi-scale deformable attention ---------------------------------------------------------------------------------

SHAPES = torch.tensor([[4, 5], [2, 3]])
STARTS = torch.tensor([0, 20])


def attention_inputs(dtype=torch.float64):
    """Value, locations (some outside) and weights of 2 images, 3 queries, 2 heads, 2 levels, 2 points."""
    value = torch.randn(2, 26, 2, 3, dtype=dtype)
    locations = torch.rand(2, 3, 2, 2, 2, 2, dtype=dtype) * 1.6 - 0.3
    return [t.requires_grad_() for t in (value, locations, torch.rand(2, 3, 2, 2, 2, dtype=dtype))]


def attend(value, locations, weights):
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)


def loop_attend(value, locations, weights):
    out = torch.zeros(2, 3, 2, 3, dtype=torch.float64)
    for b, q, h, level, p in itertools.product(range(2), range(3), range(2), range(2), range(2)):
        height, width = SHAPES[level].tolist()
        x, y = (locations[b, q, h, level, p] * torch.tensor([width, height]) - 0.5).tolist()
        for row, column in itertools.product(range(height), range(width)):
            share = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
            cell = int(STARTS[level]) + row * width + column
            out[b, q, h] += weights[b, q, h, level, p].item() * share * value[b, cell, h].detach()
    return out.flatten(2)


def test_deformable_attention_sums_bilinear_samples():
    inputs = attention_inputs()
    torch.testing.assert_close(attend(*inputs), loop_attend(*inputs))
    assert gradcheck(attend, inputs)


@pytest.mark.parametrize('dtype', HALVES)
def test_deformable_attention_in_half_precision(dtype):
    halves = [t.detach().to(dtype).requires_grad_() for t in attention_inputs()]
    wide = [t.detach().float().requires_grad_() for t in halves]
    out, expected = attend(*halves), attend(*wide)
    assert torch.equal(out, expected.to(dtype))
    grads = torch.autograd.grad(out.sum(), halves)
    for grad, reference in zip(grads, torch.autograd.grad(expected.sum(), wide), strict=True):
        assert torch.equal(grad, reference.to(dtype))


@pytest.mark.parametrize('shape', [(0, 3), (2, 0)])
def test_deformable_attention_of_nothing(shape):
    value = torch.randn(shape[0], 26, 2, 3, requires_grad=True)
    locations = torch.rand(*shape, 2, 2, 2, 2, requires_grad=True)
    out = attend(value, locations, torch.rand(*shape, 2, 2, 2))
    assert out.shape == (*shape, 6)
    assert torch.autograd.grad(out.sum(), value)[0].shape == value.shape


def test_the_attention_module_is_the_same_by_the_path_of_gpus():
    """mmcv's module calls the operator for tensors on a GPU only; the same is put together here."""
    module = mmcv.ops.MultiScaleDeformableAttention(8, 2, 2, 2, dropout=0, batch_first=True)
    torch.nn.init.normal_(module.sampling_offsets.weight, std=0.3)
    query, value, points = torch.randn(1, 4, 8), torch.randn(1, 26, 8), torch.rand(1, 4, 2, 2)
    expected = module(query, value=value, reference_points=points, spatial_shapes=SHAPES, level_start_index=STARTS)
    offsets = module.sampling_offsets(query).view(1, 4, 2, 2, 2, 2) / SHAPES.flip(1)[:, None]
    weights = module.attention_weights(query).view(1, 4, 2, 4).softmax(-1).view(1, 4, 2, 2, 2)
    out = attend(module.value_proj(value).view(1, 26, 2, 4), points[:, :, None, :, None] + offsets, weights)
    torch.testing.assert_close(module.output_proj(out) + query, expected)


# --- PSA masks --------------------------------------------------------------------------------------------------------


def loop_psa(x, kind, mask_size):
    batch, _, height, width = x.shape
    out = torch.zeros(batch, height * width, height, width, dtype=x.dtype)
    half = [(size - 1) // 2 for size in mask_size]
    for h, w, i, j in itertools.product(range(height), range(width), range(mask_size[0]), range(mask_size[1])):
        row, column = h + i - half[0], w + j - half[1]
        if 0 <= row < height and 0 <= column < width:
            values = x[:, i * mask_size[1] + j, h, w]
            if kind == 'collect':
                out[:, row * width + column, h, w] = values
            else:
                out[:, h * width + w, row, column] = values
    return out


@pytest.mark.parametrize('kind', ['collect', 'distribute'])
@pytest.mark.parametrize(('mask_size', 'size'), [((3, 5), (4, 3)), ((4, 2), (3, 5)), ((9, 7), (2, 4))])
def test_psa_masks_speak_of_the_pixels_around(kind, mask_size, size):
    x = torch.randn(2, mask_size[0] * mask_size[1], *size, dtype=torch.float64, requires_grad=True)
    layer = mmcv.ops.PSAMask(kind, mask_size)
    assert torch.equal(layer(x), loop_psa(x, kind, mask_size))
    assert gradcheck(layer, x, fast_mode=True)
    assert layer(x.half()).dtype == torch.float16
    assert layer(x[:0]).shape == (0, size[0] * size[1], *size)


# --- CARAFE -----------------------------------------------------------------------------------------------------------


def loop_carafe(x, masks, kernel, groups, factor):
    batch, channels, height, width = x.shape
    out = torch.zeros(batch, channels, height * factor, width * factor, dtype=x.dtype)
    for c, row, column, i, j in itertools.product(
        range(channels), range(height * factor), range(width * factor), range(kernel), range(kernel)
    ):
        y, x_ = row // factor + i - kernel // 2, column // factor + j - kernel // 2
        if 0 <= y < height and 0 <= x_ < width:
            group = c // (channels // groups)
            weight = masks[:, (group * kernel + i) * kernel + j, row, column]
            out[:, c, row, column] += weight * x[:, c, y, x_]
    return out


@pytest.mark.parametrize('operator', [mmcv.ops.carafe, mmcv.ops.carafe_naive])
@pytest.mark.parametrize(('kernel', 'groups', 'factor'), [(3, 1, 2), (5, 2, 1), (1, 4, 3)])
def test_carafe_reassembles_neighbors(operator, kernel, groups, factor):
    x = torch.randn(2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    masks = torch.randn(2, groups * kernel**2, 3 * factor, 2 * factor, dtype=torch.float64, requires_grad=True)
    out = operator(x, masks, kernel, groups, factor)
    torch.testing.assert_close(out, loop_carafe(x.detach(), masks.detach(), kernel, groups, factor))


@pytest.mark.parametrize('kernel_groups_factor', [(3, 1, 2), (5, 2, 1)])
def test_gradients_of_carafe(kernel_groups_factor):
    kernel, groups, factor = kernel_groups_factor
    x = torch.randn(1, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    masks = torch.randn(1, groups * kernel**2, 3 * factor, 2 * factor, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda *inputs: mmcv.ops.carafe(*inputs, *kernel_groups_factor), (x, masks), fast_mode=True)
    upstream = torch.randn(1, 4, 3 * factor, 2 * factor, dtype=torch.float64)
    expected = torch.autograd.grad(mmcv.ops.carafe(x, masks, *kernel_groups_factor), (x, masks), upstream)
    totals = torch.zeros_like(x), torch.zeros_like(masks)
    extension = sys.modules['mmcv._ext']  # mmcv's naive layer wants a GPU for its gradient
    extension.carafe_naive_backward(upstream, x.detach(), masks.detach(), *totals, *kernel_groups_factor)
    torch.testing.assert_close(totals, expected)


@pytest.mark.parametrize('dtype', HALVES)
def test_carafe_in_half_precision_and_of_nothing(dtype):
    x, masks = torch.randn(1, 4, 3, 2).to(dtype), torch.randn(1, 9, 6, 4).to(dtype)
    out = mmcv.ops.carafe(x, masks, 3, 1, 2)
    assert torch.equal(out, mmcv.ops.carafe(x.float(), masks.float(), 3, 1, 2).to(dtype))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(mmcv.ops.carafe(x, masks, 3, 1, 2), out)
    assert mmcv.ops.carafe(x[:0], masks[:0], 3, 1, 2).shape == (0, 4, 6, 4)
    pack = mmcv.ops.CARAFEPack(4, 2, compressed_channels=3)
    pack(torch.randn(1, 4, 3, 2)).sum().backward()
    assert all(p.grad.isfinite().all() for p in pack.parameters())


# --- masked convolution -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('kernel', 'padding'), [((3, 3), 1), ((1, 1), 0), ((3, 5), (1, 2))])
def test_masked_convolution_is_the_ordinary_one_where_the_mask_is(kernel, padding):
    x, mask = torch.randn(1, 3, 6, 7), torch.rand(1, 6, 7) > 0.6
    layer = mmcv.ops.MaskedConv2d(3, 4, kernel, padding=padding)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=padding) * mask
    torch.testing.assert_close(layer(x, mask), expected)
    assert not layer(x, torch.zeros_like(mask)).any()


# --- offset maps larger than the output -------------------------------------------------------------------------------


def test_larger_offset_maps_are_read_in_the_strides_of_the_output():
    x, weight = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 3, 3, 3, dtype=torch.float64)
    offset = torch.randn(2, 18, 8, 10, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(2, 9, 8, 10, dtype=torch.float64, requires_grad=True)
    large = mmcv.ops.modulated_deform_conv2d(x, offset, mask, weight, None, 1, 1)
    read = [
        torch.stack([image.reshape(-1)[: channels * 20].view(channels, 4, 5) for image in maps])
        for maps, channels in ((offset, 18), (mask, 9))
    ]
    expected = mmcv.ops.modulated_deform_conv2d(x, *read, weight, None, 1, 1)
    assert torch.equal(large, expected)
    upstream = torch.randn_like(large)
    references = torch.autograd.grad(expected, (offset, mask), upstream)
    for grad, reference in zip(torch.autograd.grad(large, (offset, mask), upstream), references, strict=True):
        assert torch.equal(grad, reference)
        assert not grad.flatten(1)[:, grad[0].numel() // 4 :].any()


def test_offset_maps_smaller_than_the_output_are_refused():
    x, weight = torch.randn(1, 3, 4, 5), torch.randn(2, 3, 3, 3)
    with pytest.raises(ValueError, match=r'map of offsets is \(18, 4, 4\) an image, less than \(18, 4, 5\)'):
        mmcv.ops.modulated_deform_conv2d(x, torch.zeros(1, 18, 4, 4), torch.zeros(1, 9, 4, 5), weight, None, 1, 1)
    with pytest.raises(ValueError, match=r'offsets of size \[8, 10\], the output is \[4, 5\]'):
        mmcv.ops.deform_conv2d(x, torch.zeros(1, 18, 8, 10), weight, 1, 1)


def test_dyhead_trains():
    from mmdet.models.necks import DyHead

    neck = DyHead(16, 16, num_blocks=1, zero_init_offset=False)
    maps = [torch.randn(1, 16, size, size) for size in (8, 4, 2)]
    outs = neck(maps)
    sum(out.sum() for out in outs).backward()
    assert [out.shape[-1] for out in outs] == [8, 4, 2]
    assert neck.dyhead_blocks[0].spatial_conv_offset.weight.grad.abs().sum() > 0


# --- batch normalisation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('shape', [(3, 4, 2, 5), (3, 4, 6)])
def test_synchronized_batch_norm_in_one_process_is_the_ordinary_one(shape):
    x = torch.randn(shape, requires_grad=True)
    weight, bias = (torch.randn(4, requires_grad=True) for _ in range(2))
    stats, expected_stats = ([torch.ones(4), torch.full((4,), 2.0)] for _ in range(2))
    expected = F.batch_norm(x, *expected_stats, weight, bias, True, 0.1, 1e-3)
    out = SyncBatchNormFunction.apply(x, *stats, weight, bias, 0.1, 1e-3, None, 1, 'default')
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(stats, expected_stats)
    upstream = torch.randn(shape)
    grads = [torch.autograd.grad(value, (x, weight, bias), upstream) for value in (out, expected)]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


# --- overlaps and matching --------------------------------------------------------------------------------------------


def test_overlaps_of_boxes_worked_out_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [10, 10, 20, 20], [32, 32, 38, 42]])
    others = torch.tensor([[0.0, 0, 10, 20], [5, 5, 15, 15]])
    expected = torch.tensor([[0.5, 25 / 175], [0, 25 / 175], [0, 0]])
    torch.testing.assert_close(mmcv.ops.bbox_overlaps(boxes, others), expected)
    covered = torch.tensor([[1, 0.25], [0, 0.25], [0, 0]])
    torch.testing.assert_close(mmcv.ops.bbox_overlaps(boxes, others, 'iof'), covered)
    aligned = mmcv.ops.bbox_overlaps(boxes[:2], others, aligned=True)
    torch.testing.assert_close(aligned, expected[:2].diagonal())
    with_last_pixel = mmcv.ops.bbox_overlaps(boxes[:1], others[1:], offset=1)
    torch.testing.assert_close(with_last_pixel, torch.tensor([[36 / (2 * 121 - 36)]]))
    assert mmcv.ops.bbox_overlaps(boxes.half(), others.half()).dtype == torch.float16
    assert mmcv.ops.bbox_overlaps(boxes[:0], others).shape == (0, 2)


def test_matching_suppression_tells_who_suppressed_whom():
    dets = torch.tensor(
        [
            [0.0, 0, 10, 10, 0.6],
            [0, 0, 10, 8, 0.9],  # suppresses the first (IoU 0.8) and the last (0.5, which is enough)
            [50, 50, 60, 60, 0.7],
            [51, 50, 61, 60, 0.5],
            [0, 0, 5, 8, 0.8],
        ]
    )
    groups = mmcv.ops.nms_match(dets, 0.5)
    assert [group.tolist() for group in groups] == [[1, 4, 0], [2, 3]]
    assert [group.tolist() for group in mmcv.ops.nms_match(dets.double().numpy(), 0.9)] == [[1], [4], [2], [0], [3]]
    assert mmcv.ops.nms_match(torch.zeros(0, 5), 0.5) == []
