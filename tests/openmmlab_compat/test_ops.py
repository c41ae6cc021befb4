"""Every operator against its definition, written here as plain loops or formulas, through the public `mmcv.ops`."""

import importlib
import math
import pkgutil
import sys

import numpy as np
import pytest
import torch

from projects.openmmlab_compat import ops  # isort: skip  before anything of mmcv
import mmcv
import mmcv.ops
from mmengine.utils.dl_utils import mmcv_full_available
from torch.autograd import gradcheck
from torch.nn import functional as F

DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU'))]
on_devices = pytest.mark.parametrize('device', DEVICES)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_boxes(count, size=20.0, min_side=0.5, dtype=torch.float64):
    corner = torch.rand(count, 2, dtype=dtype) * size
    return torch.cat([corner, corner + min_side + torch.rand(count, 2, dtype=dtype) * size / 2], dim=1)


def random_rois(count, num_images, **options):
    return torch.cat([torch.randint(num_images, (count, 1)).double(), random_boxes(count, **options)], dim=1)


# --- non-maximum suppression ------------------------------------------------------------------------------------------


def iou(a, b, offset):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a, area_b = ((box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b))
    return width * height / (area_a + area_b - width * height)


def greedy_nms(boxes, scores, threshold, offset):
    kept = []
    for candidate in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[candidate], boxes[k], offset) <= threshold for k in kept):
            kept.append(candidate)
    return kept


@on_devices
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_nms_is_greedy_suppression(device, offset, dtype):
    boxes, scores = random_boxes(150).to(dtype), torch.rand(150, dtype=dtype)
    expected = greedy_nms(boxes.tolist(), scores.tolist(), 0.3, offset)
    dets, indices = mmcv.ops.nms(boxes.to(device), scores.to(device), 0.3, offset=offset)
    assert 20 < len(expected) < 130
    assert indices.tolist() == expected
    assert torch.equal(dets.cpu(), torch.cat([boxes, scores[:, None]], 1)[expected])


def test_nms_offset_counts_the_last_pixel():
    boxes, scores = torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1]]), torch.tensor([0.9, 0.8])
    assert mmcv.ops.nms(boxes, scores, 0.3, offset=0)[1].tolist() == [0, 1]  # they touch: IoU 0
    assert mmcv.ops.nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]  # 2 of 6 pixels: IoU 1/3


def test_nms_score_threshold_max_num_and_numpy():
    boxes, scores = random_boxes(60).numpy(), torch.rand(60).numpy()
    expected = [i for i in greedy_nms(boxes, scores, 0.5, 0) if scores[i] > 0.4][:7]
    dets, indices = mmcv.ops.nms(boxes, scores.astype(np.float64), 0.5, score_threshold=0.4, max_num=7)
    assert isinstance(dets, np.ndarray)
    assert indices.tolist() == expected


@pytest.mark.parametrize('split_thr', [10000, 10])
def test_batched_nms_keeps_classes_apart(split_thr):
    boxes, scores, labels = random_boxes(90), torch.rand(90, dtype=torch.float64), torch.randint(3, (90,))
    expected = []
    for label in range(3):
        members = (labels == label).nonzero()[:, 0]
        kept = greedy_nms(boxes[members].tolist(), scores[members].tolist(), 0.4, 0)
        expected += members[kept].tolist()
    cfg = {'type': 'nms', 'iou_threshold': 0.4, 'split_thr': split_thr}
    dets, indices = mmcv.ops.batched_nms(boxes, scores, labels, cfg)
    assert indices.tolist() == sorted(expected, key=lambda i: -scores[i])
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[indices])


def loop_soft_nms(boxes, scores, method, threshold, sigma, min_score, offset):
    scores, remaining, picked = list(scores), list(range(len(boxes))), []
    while remaining:
        best = max(remaining, key=lambda i: scores[i])
        picked.append(best)
        remaining.remove(best)
        for i in remaining:
            overlap = iou(boxes[best], boxes[i], offset)
            if method == 'gaussian':
                scores[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                scores[i] *= 0 if method == 'naive' else 1 - overlap
        remaining = [i for i in remaining if scores[i] >= min_score]
    return picked, [scores[i] for i in picked]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_decays_overlapping_scores(method, offset):
    boxes, scores = random_boxes(80), torch.rand(80, dtype=torch.float64)
    before = scores.clone()
    expected, decayed = loop_soft_nms(boxes.tolist(), scores.tolist(), method, 0.3, 0.4, 0.05, offset)
    dets, indices = mmcv.ops.soft_nms(boxes, scores, 0.3, 0.4, 0.05, method, offset)
    assert 10 < len(expected) < 80
    assert indices.tolist() == expected
    torch.testing.assert_close(dets[:, 4], torch.tensor(decayed, dtype=torch.float64), rtol=1e-12, atol=0)
    assert torch.equal(dets[:, :4], boxes[expected])
    assert torch.equal(scores, before)


def test_soft_nms_of_boxes_without_area_gives_finite_scores():
    boxes = torch.tensor([[3.0, 3, 3, 3], [3, 3, 3, 3], [0, 0, 9, 9]])
    dets, indices = mmcv.ops.soft_nms(boxes, torch.tensor([0.5, 0.4, 0.6]), method='gaussian')
    assert indices.tolist() == [2, 0, 1]
    torch.testing.assert_close(dets[:, 4], torch.tensor([0.6, 0.5, 0.4]))


# --- pooling of regions -----------------------------------------------------------------------------------------------


def sample(plane, y, x):
    """Bilinear value of a plane (H, W); 0 beyond one pixel outside, the border value between."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = plane[top, left] * (1 - dx) + plane[top, right] * dx
    lower = plane[bottom, left] * (1 - dx) + plane[bottom, right] * dx
    return upper * (1 - dy) + lower * dy


def loop_roi_align(features, rois, size, scale, ratio, aligned):
    out = np.zeros((len(rois), features.shape[1], *size))
    for r, (image, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (c * scale - (0.5 if aligned else 0) for c in box)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        step_y, step_x = height / size[0], width / size[1]
        count_y, count_x = (ratio, ratio) if ratio else (math.ceil(step_y), math.ceil(step_x))
        for c, i, j in np.ndindex(*out.shape[1:]):
            values = [
                sample(
                    features[int(image), c].numpy(),
                    y1 + (i + (iy + 0.5) / count_y) * step_y,
                    x1 + (j + (ix + 0.5) / count_x) * step_x,
                )
                for iy in range(count_y)
                for ix in range(count_x)
            ]
            out[r, c, i, j] = np.mean(values)
    return torch.from_numpy(out)


@on_devices
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_averages_bilinear_samples(device, aligned, ratio):
    features = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    rois = random_rois(6, 2, size=32.0)
    rois[0, 1:] = torch.tensor([-9.0, -7.0, 50.0, 44.0])  # beyond every border
    rois[1, 3:] = rois[1, 1:3] + 0.1  # smaller than a pixel of the features
    layer = mmcv.ops.RoIAlign((3, 2), 0.35, ratio, aligned=aligned)
    out = layer(features.to(device), rois.to(device))
    torch.testing.assert_close(out.cpu(), loop_roi_align(features, rois, (3, 2), 0.35, ratio, aligned))
    assert gradcheck(lambda x: layer(x, rois.to(device)), features.to(device).requires_grad_(), nondet_tol=1e-9)


def test_roi_align_maximum_is_refused_by_name():
    with pytest.raises(NotImplementedError, match=r'roi_align_forward.*max.*pip install --no-build-isolation'):
        mmcv.ops.RoIAlign(2, pool_mode='max')(torch.rand(1, 1, 4, 4), torch.tensor([[0, 0.0, 0, 2, 2]]))


def loop_roi_pool(features, rois, size, scale):
    out = np.zeros((len(rois), features.shape[1], *size))
    height, width = features.shape[2:]
    for r, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        if x2 <= x1 or y2 <= y1:
            continue
        for c, i, j in np.ndindex(*out.shape[1:]):
            rows = range(
                max(math.floor(y1 + i * (y2 - y1) / size[0]), 0),
                min(math.ceil(y1 + (i + 1) * (y2 - y1) / size[0]), height),
            )
            columns = range(
                max(math.floor(x1 + j * (x2 - x1) / size[1]), 0),
                min(math.ceil(x1 + (j + 1) * (x2 - x1) / size[1]), width),
            )
            pixels = [features[int(image), c, row, column].item() for row in rows for column in columns]
            out[r, c, i, j] = max(pixels, default=0.0)
    return torch.from_numpy(out)


@on_devices
def test_roi_pool_takes_the_maximum_of_each_bin(device):
    features = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    rois = random_rois(8, 2, size=32.0)
    rois[0, 1:] = torch.tensor([-9.0, -7.0, 60.0, 55.0])  # some bins lie outside
    rois[1, 1:] = torch.tensor([8.0, 8.0, 3.0, 20.0])  # no width
    rois[2, 1:] = torch.tensor([90.0, 90.0, 99.0, 99.0])  # outside altogether
    layer = mmcv.ops.RoIPool((3, 2), 0.35)
    out = layer(features.to(device), rois.to(device)).cpu()
    assert torch.equal(out, loop_roi_pool(features, rois, (3, 2), 0.35))
    assert (out[0] == 0).any()
    assert (out[1:3] == 0).all()
    assert gradcheck(lambda x: layer(x, rois.to(device)), features.to(device).requires_grad_(), nondet_tol=1e-9)


# --- deformable convolution -------------------------------------------------------------------------------------------


def sampled_convolution(x, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups):
    """Deformable convolution by explicit sampling with zeros outside the image, differentiable by autograd."""
    batch, channels, height, width = x.shape
    kernel_h, kernel_w = weight.shape[2:]
    out_h, out_w = offset.shape[2:]
    offset = offset.view(batch, deform_groups, kernel_h * kernel_w, 2, out_h, out_w)
    mask = mask.view(batch, deform_groups, kernel_h * kernel_w, out_h, out_w)
    grid_y = (torch.arange(out_h) * stride[0] - padding[0])[:, None]
    grid_x = torch.arange(out_w) * stride[1] - padding[1]
    planes = x.view(batch, deform_groups, channels // deform_groups, height * width)
    patches = []
    for point in range(kernel_h * kernel_w):
        y = grid_y + point // kernel_w * dilation[0] + offset[:, :, point, 0]
        x_ = grid_x + point % kernel_w * dilation[1] + offset[:, :, point, 1]
        value = 0
        for corner_y in (y.floor(), y.floor() + 1):
            for corner_x in (x_.floor(), x_.floor() + 1):
                inside = (corner_y >= 0) & (corner_y < height) & (corner_x >= 0) & (corner_x < width)
                share = (1 - (y - corner_y).abs()) * (1 - (x_ - corner_x).abs()) * inside
                index = (corner_y.clamp(0, height - 1) * width + corner_x.clamp(0, width - 1)).long()
                index = index.flatten(2)[:, :, None].expand(-1, -1, planes.shape[2], -1)
                value = value + planes.gather(3, index).unflatten(3, (out_h, out_w)) * share[:, :, None]
        patches.append((value * mask[:, :, point, None]).flatten(1, 2))
    patches = torch.stack(patches, 2).view(batch, groups, channels // groups, kernel_h, kernel_w, out_h, out_w)
    weight = weight.view(groups, -1, *weight.shape[1:])
    out = torch.einsum('bgcijhw,gdcij->bgdhw', patches, weight).flatten(1, 2)
    return out if bias is None else out + bias[:, None, None]


GEOMETRIES = [
    {'stride': (1, 1), 'padding': (1, 1), 'dilation': (1, 1), 'groups': 1, 'deform_groups': 1},
    {'stride': (2, 1), 'padding': (0, 2), 'dilation': (1, 2), 'groups': 2, 'deform_groups': 1},
    {'stride': (1, 2), 'padding': (2, 1), 'dilation': (2, 1), 'groups': 1, 'deform_groups': 2},
    {'stride': (2, 2), 'padding': (1, 0), 'dilation': (1, 1), 'groups': 2, 'deform_groups': 4},
]


def convolution_inputs(geometry, kernel=(3, 2), size=(7, 8)):
    spans = [geometry['dilation'][i] * (kernel[i] - 1) + 1 for i in range(2)]
    out_size = [(size[i] + 2 * geometry['padding'][i] - spans[i]) // geometry['stride'][i] + 1 for i in range(2)]
    points = geometry['deform_groups'] * kernel[0] * kernel[1]
    shapes = {
        'x': (2, 4, *size),
        'offset': (2, 2 * points, *out_size),
        'mask': (2, points, *out_size),
        'weight': (6, 4 // geometry['groups'], *kernel),
        'bias': (6,),
    }
    return {name: torch.randn(shape, dtype=torch.float64, requires_grad=True) for name, shape in shapes.items()}


def assert_same_with_gradients(actual, expected, leaves):
    torch.testing.assert_close(actual, expected)
    upstream = torch.randn_like(expected)
    references = torch.autograd.grad(expected, leaves, upstream)
    for grad, reference in zip(torch.autograd.grad(actual, leaves, upstream), references, strict=True):
        torch.testing.assert_close(grad, reference)


@on_devices
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_deform_conv_convolves_shifted_points(geometry, device):
    x, offset, mask, weight, _ = convolution_inputs(geometry).values()
    layer = mmcv.ops.DeformConv2d(4, 6, (3, 2), **geometry)
    inputs = (x.to(device), offset.to(device))
    out = torch.func.functional_call(layer, {'weight': weight.to(device)}, inputs)
    expected = sampled_convolution(x, offset, torch.ones_like(mask), weight, None, **geometry)
    assert_same_with_gradients(out.cpu(), expected, [x, offset, weight])


@on_devices
@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_modulated_deform_conv_weights_its_samples(geometry, with_bias, device):
    x, offset, mask, weight, bias = convolution_inputs(geometry).values()
    leaves = [x, offset, mask, weight] + [bias] * with_bias
    layer = mmcv.ops.ModulatedDeformConv2d(4, 6, (3, 2), **geometry, bias=with_bias)
    parameters = {'weight': weight.to(device), 'bias': bias.to(device) if with_bias else None}
    out = torch.func.functional_call(layer, parameters, (x.to(device), offset.to(device), mask.to(device)))
    expected = sampled_convolution(x, offset, mask, weight, bias if with_bias else None, **geometry)
    assert_same_with_gradients(out.cpu(), expected, leaves)


@pytest.mark.parametrize('frozen', [('x', 'offset'), ('weight',), ('x', 'weight')])
def test_deform_conv_gradients_with_frozen_operands_and_repeated_backward(frozen):
    inputs = convolution_inputs(GEOMETRIES[0])
    full = mmcv.ops.deform_conv2d(inputs['x'], inputs['offset'], inputs['weight'], 1, 1)
    names = ('x', 'offset', 'weight')
    expected = dict(zip(names, torch.autograd.grad(full.sum(), [inputs[n] for n in names]), strict=True))
    for name in frozen:
        inputs[name].requires_grad_(False)
    total = mmcv.ops.deform_conv2d(inputs['x'], inputs['offset'], inputs['weight'], 1, 1).sum()
    for upstream, accumulated in ((1.0, 1.0), (-3.0, -2.0)):
        total.backward(torch.tensor(upstream, dtype=torch.float64), retain_graph=True)
        for name in set(names) - set(frozen):
            torch.testing.assert_close(inputs[name].grad, accumulated * expected[name])


def test_zero_offsets_give_the_ordinary_convolution():
    layer = mmcv.ops.ModulatedDeformConv2dPack(4, 6, 3, stride=2, padding=1)
    x = torch.randn(2, 4, 9, 8)
    expected = F.conv2d(x, 0.5 * layer.weight, layer.bias, 2, 1)  # the mask starts at sigmoid(0)
    torch.testing.assert_close(layer(x), expected)


# --- focal losses -----------------------------------------------------------------------------------------------------


def focal_inputs(rows=12, classes=5):
    logits = (3 * torch.randn(rows, classes, dtype=torch.float64)).requires_grad_()
    target = torch.randint(classes, (rows,))
    target[0], target[1] = classes, -1  # background, ignored
    return logits, target


@on_devices
@pytest.mark.parametrize('gamma', [2.0, 1.5, 0.0])
@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_sigmoid_focal_loss_follows_its_formula(gamma, weighted, reduction, device):
    logits, target = focal_inputs()
    weight = torch.rand(5, dtype=torch.float64) if weighted else None
    out = mmcv.ops.sigmoid_focal_loss(
        logits.to(device), target.to(device), gamma, 0.3, weight.to(device) if weighted else None, reduction
    )
    p = logits.sigmoid()
    positive = torch.stack([target == c for c in range(5)], 1)
    loss = torch.where(positive, -0.3 * (1 - p) ** gamma * p.log(), -0.7 * p**gamma * (1 - p).log())
    if weighted:
        rows = torch.tensor([1.0 if t in (-1, 5) else weight[t].item() for t in target], dtype=torch.float64)
        loss = loss * rows[:, None]
    loss = {'none': loss, 'mean': loss.sum() / 12, 'sum': loss.sum()}[reduction]
    assert_same_with_gradients(out.cpu(), loss, [logits])


def test_sigmoid_focal_loss_of_hopeless_logits_grows_linearly():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = mmcv.ops.sigmoid_focal_loss(logits, torch.tensor([1]), 2.0, 0.25, None, 'sum')
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(0.75 * 200 + 0.25 * 200))
    torch.testing.assert_close(logits.grad, torch.tensor([[0.75, -0.25]]))


@on_devices
@pytest.mark.parametrize('gamma', [2.0, 1.5, 0.0])
@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_softmax_focal_loss_follows_its_formula(gamma, weighted, reduction, device):
    logits, target = focal_inputs()
    weight = torch.rand(5, dtype=torch.float64) if weighted else None
    out = mmcv.ops.softmax_focal_loss(
        logits.to(device), target.to(device), gamma, 0.3, weight.to(device) if weighted else None, reduction
    )
    loss = 0
    for row, label in zip(logits, target.tolist(), strict=True):
        if 0 <= label < 5:
            p = row.softmax(0)[label]
            loss = loss - 0.3 * (1 - p) ** gamma * p.log() * (weight[label] if weighted else 1)
    loss = loss / 12 if reduction == 'mean' else loss
    assert_same_with_gradients(out.cpu(), loss, [logits])


@pytest.mark.parametrize('gamma', [2.0, 0.5, 0.0])
def test_softmax_focal_loss_of_certain_rows_has_finite_gradients(gamma):
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    mmcv.ops.softmax_focal_loss(logits, torch.tensor([0, 0]), gamma, 0.25, None, 'sum').backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.0, 0.0], [-0.25, 0.25]]))


@pytest.mark.parametrize('loss', [mmcv.ops.sigmoid_focal_loss, mmcv.ops.softmax_focal_loss])
def test_focal_loss_names_a_label_out_of_range(loss):
    with pytest.raises(ValueError, match=r'label 7 with num_classes=5: labels are 0 to 4'):
        loss(torch.zeros(2, 5), torch.tensor([0, 7]))


# --- dtypes and empty inputs ------------------------------------------------------------------------------------------

HALVES = [torch.bfloat16, torch.float16]


def half_and_float32(function, dtype, *tensors):
    """Results and gradients in half precision, and those of the same rounded inputs in float32, rounded at the end."""
    results = []
    for compute in (dtype, torch.float32):
        leaves = [tensor.to(dtype).to(compute).requires_grad_() for tensor in tensors]
        out = function(*leaves)
        assert out.dtype == compute
        results.append([x.to(dtype) for x in (out, *torch.autograd.grad(out.sum(), leaves))])
    return zip(*results, strict=True)


@pytest.mark.parametrize('dtype', HALVES)
@pytest.mark.parametrize('name', ['roi_align', 'roi_pool', 'deform_conv', 'modulated_deform_conv', 'sigmoid'])
def test_half_precision_is_float32_rounded_once(name, dtype):
    rois = random_rois(5, 2).to(dtype)
    x, offset, mask, weight, bias = (t.detach() for t in convolution_inputs(GEOMETRIES[0]).values())
    logits, target = focal_inputs()
    function, *tensors = {
        'roi_align': (lambda x: mmcv.ops.roi_align(x, rois.to(x), 2, 0.5), x),
        'roi_pool': (lambda x: mmcv.ops.roi_pool(x, rois.to(x), 2, 0.5), x),
        'deform_conv': (lambda *t: mmcv.ops.deform_conv2d(*t, 1, 1), x, offset, weight),
        'modulated_deform_conv': (
            lambda *t: mmcv.ops.modulated_deform_conv2d(*t, 1, 1), x, offset, mask, weight, bias
        ),
        'sigmoid': (lambda x: mmcv.ops.sigmoid_focal_loss(x, target, 2.0, 0.25, None, 'none'), logits.detach()),
    }[name]  # fmt: skip
    for half, rounded in half_and_float32(function, dtype, *tensors):
        assert torch.equal(half, rounded)


@pytest.mark.parametrize('dtype', HALVES)
def test_softmax_focal_loss_in_half_precision(dtype):
    logits, target = focal_inputs()
    loss = mmcv.ops.softmax_focal_loss(logits.to(dtype), target)  # mmcv takes the softmax in this dtype
    assert loss.dtype == dtype
    torch.testing.assert_close(loss.double(), mmcv.ops.softmax_focal_loss(logits, target), rtol=0.02, atol=0)


@pytest.mark.parametrize('dtype', HALVES)
def test_suppression_in_half_precision(dtype):
    boxes, scores = random_boxes(40).to(dtype), torch.rand(40).to(dtype)
    dets, indices = mmcv.ops.nms(boxes, scores, 0.3)
    assert dets.dtype == dtype
    assert indices.tolist() == mmcv.ops.nms(boxes.float(), scores.float(), 0.3)[1].tolist()
    dets, indices = mmcv.ops.soft_nms(boxes, scores)
    assert dets.dtype == dtype
    assert indices.tolist() == mmcv.ops.soft_nms(boxes.float(), scores.float())[1].tolist()


def test_under_autocast():
    features = torch.randn(1, 2, 8, 8)
    rois = torch.tensor([[0, 1.0, 1, 6, 5]])
    conv = mmcv.ops.ModulatedDeformConv2dPack(2, 3, 3, padding=1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        pooled = mmcv.ops.roi_align(features.bfloat16(), rois.bfloat16(), 2)
        convolved = conv(features)
        convolved.sum().backward()
    torch.testing.assert_close(pooled.float(), mmcv.ops.roi_align(features, rois, 2), rtol=0.02, atol=0.02)
    torch.testing.assert_close(convolved.float(), conv(features), rtol=0.02, atol=0.02)
    assert all(p.grad.dtype == torch.float32 for p in conv.parameters())


@on_devices
def test_empty_inputs(device):
    none = torch.zeros(0, 4, device=device)
    features = torch.rand(2, 3, 8, 8, device=device, requires_grad=True)
    rois = torch.zeros(0, 5, device=device)
    assert [t.shape for t in mmcv.ops.nms(none, none[:, 0], 0.5)] == [(0, 5), (0,)]
    assert [t.shape for t in mmcv.ops.soft_nms(none, none[:, 0])] == [(0, 5), (0,)]
    for layer in (mmcv.ops.RoIAlign((3, 2)), mmcv.ops.RoIPool((3, 2))):
        out = layer(features, rois)
        assert out.shape == (0, 3, 3, 2)
        assert torch.equal(torch.autograd.grad(out.sum(), features)[0], torch.zeros_like(features))
    for loss in (mmcv.ops.sigmoid_focal_loss, mmcv.ops.softmax_focal_loss):
        logits = torch.zeros(0, 5, device=device, requires_grad=True)
        loss(logits, torch.zeros(0, dtype=torch.long, device=device), 2.0, 0.25, None, 'sum').backward()
        assert logits.grad.shape == (0, 5)


# --- the stand-in itself ----------------------------------------------------------------------------------------------


def test_openmmlab_imports_and_finds_operators():
    for name in ('mmdet.apis', 'mmseg.apis'):
        importlib.import_module(name)
    assert pkgutil.find_loader('mmcv._ext') is not None
    assert mmcv_full_available()
    assert 'torchvision' in mmcv.ops.get_compiler_version()
    assert 'torchvision' in mmcv.ops.get_compiling_cuda_version()


def test_operator_without_counterpart_says_what_to_install():
    message = r'operator border_align_forward is missing: .*openmmlab_compat/README.md.*pip install --no-build-isol'
    with pytest.raises(NotImplementedError, match=message):
        mmcv.ops.border_align(torch.rand(1, 4, 2, 2), torch.rand(1, 4, 4), 2)


def test_stand_in_has_no_invented_dunder_names():
    extension = sys.modules['mmcv._ext']
    assert not hasattr(extension, '__path__')
    with pytest.raises(AttributeError, match='__wrapped__'):
        _ = extension.__wrapped__


def test_installing_twice_changes_nothing():
    before = sys.modules['mmcv._ext']
    ops.install()
    assert sys.modules['mmcv._ext'] is before


def test_compiled_operators_stay_in_charge(tmp_path, monkeypatch):
    (tmp_path / '_ext.py').write_text('nms = "compiled"')
    monkeypatch.setattr(mmcv, '__path__', [*mmcv.__path__, str(tmp_path)])
    monkeypatch.setattr(mmcv, '_ext', None, raising=False)  # restores the attribute that the import below sets
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    ops.install()
    assert 'mmcv._ext' not in sys.modules
    assert importlib.import_module('mmcv._ext').nms == 'compiled'
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    (tmp_path / '_ext.py').unlink()
    importlib.invalidate_caches()
    ops.install()
    assert callable(importlib.import_module('mmcv._ext').nms)
