"""Rotated boxes and convex quadrilaterals against shapely, rotated RoIAlign and deformable pooling against loops."""

import math

import pytest
import torch

import projects.openmmlab_compat  # noqa: F401  # isort: skip  before anything of mmcv
import mmcv.ops
from shapely import Polygon
from torch.autograd import gradcheck


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_boxes(count, size=30.0):
    parts = [torch.rand(count, 2) * size, torch.rand(count, 2) * 12 + 0.5, (torch.rand(count, 1) - 0.5) * 9]
    return torch.cat(parts, 1).double()


def corners(box):
    """As mmcv's docstring has them: clockwise on the screen by the angle, y downwards."""
    x, y, w, h, angle = box
    cos, sin = math.cos(angle), math.sin(angle)
    square = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    return [(x + a * w * cos - b * h * sin, y + a * w * sin + b * h * cos) for a, b in square]


def shapely_table(first, second, mode):
    first, second = ([Polygon(corners(box)) for box in boxes.tolist()] for boxes in (first, second))
    table = []
    for a in first:
        inter = [a.intersection(b).area for b in second]
        table.append([i / (a.area if mode == 'iof' else a.union(b).area) for i, b in zip(inter, second, strict=True)])
    return torch.tensor(table, dtype=torch.float64)


def related_boxes():
    """Boxes, and for each one that equals, touches, contains or crosses it."""
    boxes = random_boxes(60)
    others = boxes.clone()
    others[10:20, 2:4] *= 0.5  # inside
    others[20:30, 4] += math.pi / 2
    others[30:40] = boxes[30:40, [0, 1, 3, 2, 4]]  # the same box, named otherwise
    others[30:40, 4] += math.pi / 2
    angle, width = boxes[40:50, 4], boxes[40:50, 2]
    others[40:50, 0] += width * angle.cos()  # side by side
    others[40:50, 1] += width * angle.sin()
    others[50:, :2] += 1
    return boxes, others


@pytest.mark.parametrize('mode', ['iou', 'iof'])
def test_overlaps_of_rotated_boxes_are_those_of_shapely(mode):
    boxes, others = related_boxes()
    expected = shapely_table(boxes, others, mode)
    torch.testing.assert_close(mmcv.ops.box_iou_rotated(boxes, others, mode), expected, rtol=1e-6, atol=1e-7)
    aligned = mmcv.ops.box_iou_rotated(boxes, others, mode, aligned=True)
    torch.testing.assert_close(aligned, expected.diagonal(), rtol=1e-6, atol=1e-7)
    flipped = [b * torch.tensor([1, 1, 1, 1, -1.0]) for b in (boxes, others)]
    against_the_clock = mmcv.ops.box_iou_rotated(*flipped, mode, clockwise=False)
    torch.testing.assert_close(against_the_clock, expected, rtol=1e-6, atol=1e-7)


def test_overlap_worked_out_by_hand():
    square = torch.tensor([[5.0, 5, 2, 2, 0]])
    diamond = torch.tensor([[5.0, 5, 2, 2, math.pi / 4]])
    octagon = 8 * (math.sqrt(2) - 1)  # the area that both have in common
    iou = mmcv.ops.box_iou_rotated(square, diamond)
    torch.testing.assert_close(iou, torch.tensor([[octagon / (8 - octagon)]]))
    assert mmcv.ops.box_iou_rotated(square, square).item() == 1
    beside = torch.tensor([[7.0, 5, 2, 2, 0]])
    assert mmcv.ops.box_iou_rotated(square, beside).item() == 0
    flat = torch.tensor([[5.0, 5, 2, 0, 0]])
    assert mmcv.ops.box_iou_rotated(square, flat).item() == 0


@pytest.mark.parametrize(
    ('dtype', 'scale'),
    [(torch.float32, 1e-3), (torch.float32, 1e5), (torch.float16, 1), (torch.bfloat16, 1e-3), (torch.bfloat16, 1e5)],
)
def test_overlaps_in_other_dtypes_and_sizes(scale, dtype):
    boxes = random_boxes(30, size=10.0) * torch.tensor([scale, scale, scale, scale, 1.0])
    boxes = boxes.to(dtype)
    ious = mmcv.ops.box_iou_rotated(boxes, boxes)
    assert ious.dtype == dtype
    expected = shapely_table(boxes.double(), boxes.double(), 'iou')
    torch.testing.assert_close(ious.double(), expected, rtol=0.01, atol=0.004)
    torch.testing.assert_close(ious.diagonal(), torch.ones(30, dtype=dtype))


def quadrilaterals(boxes):
    return torch.tensor([corners(box) for box in boxes.tolist()], dtype=torch.float64)


def test_overlaps_of_quadrilaterals_in_either_direction():
    boxes, others = related_boxes()
    expected = shapely_table(boxes, others, 'iou')
    first, second = quadrilaterals(boxes).flatten(1), quadrilaterals(others).flip(1).flatten(1)
    torch.testing.assert_close(mmcv.ops.box_iou_quadri(first, second), expected, rtol=1e-6, atol=1e-7)
    trapezium = torch.tensor([[0.0, 0, 4, 0, 3, 2, 1, 2]])  # area 6
    square = torch.tensor([[2.0, 0, 4, 0, 4, 2, 2, 2]])  # area 4, has 3 of it
    torch.testing.assert_close(mmcv.ops.box_iou_quadri(trapezium, square), torch.tensor([[3 / 7]]))


def greedy(table, scores, threshold):
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(table[i][k] <= threshold for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize('with_labels', [False, True])
@pytest.mark.parametrize('quadri', [False, True])
def test_suppression_of_rotated_boxes_is_greedy(with_labels, quadri):
    boxes, scores = random_boxes(80), torch.rand(80, dtype=torch.float64)
    labels = torch.randint(2, (80,)).double() if with_labels else None  # which mmcv's kernels do not look at
    expected = greedy(shapely_table(boxes, boxes, 'iou'), scores, 0.2)
    operator = mmcv.ops.nms_quadri if quadri else mmcv.ops.nms_rotated
    dets, keep = operator(quadrilaterals(boxes).flatten(1) if quadri else boxes, scores, 0.2, labels)
    assert 10 < len(expected) < 75
    assert keep.tolist() == expected
    assert torch.equal(dets[:, -1], scores[expected])


def test_batched_suppression_of_rotated_boxes():
    boxes = torch.tensor([[5.0, 5, 4, 2, 0.3], [5, 5, 4, 2, 0.3], [5, 5, 4, 2, 0.4], [20, 20, 4, 2, 0]])
    scores, labels = torch.tensor([0.5, 0.9, 0.8, 0.1]), torch.tensor([0, 0, 1, 1])
    keep = mmcv.ops.batched_nms(boxes, scores, labels, {'type': 'nms_rotated', 'iou_threshold': 0.5})[1]
    assert keep.tolist() == [1, 2, 3]


def test_no_rotated_boxes():
    none, some = torch.zeros(0, 5), random_boxes(3).float()
    assert mmcv.ops.box_iou_rotated(none, some).shape == (0, 3)
    assert mmcv.ops.box_iou_rotated(some, none).shape == (3, 0)
    assert mmcv.ops.box_iou_rotated(none, none, aligned=True).shape == (0,)
    assert mmcv.ops.box_iou_quadri(torch.zeros(0, 8), torch.zeros(2, 8)).shape == (0, 2)
    x = torch.rand(1, 2, 5, 5, requires_grad=True)
    for out in (mmcv.ops.roi_align_rotated(x, torch.zeros(0, 6), 3, 1.0), mmcv.ops.deform_roi_pool(x, none, None, 3)):
        assert out.shape == (0, 2, 3, 3)
        assert not torch.autograd.grad(out.sum(), x)[0].any()


# --- pooling ----------------------------------------------------------------------------------------------------------


def sample(plane, y, x):
    """Bilinear value of a plane (H, W); 0 beyond one pixel outside, the border value between."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = plane[top, left] * (1 - x + left) + plane[top, right] * (x - left)
    lower = plane[bottom, left] * (1 - x + left) + plane[bottom, right] * (x - left)
    return (upper * (1 - y + top) + lower * (y - top)).item()


def loop_pool(features, rois, size, ratio, place, extents):
    """Means of samples at `place(region, u, v, bin)`, u and v as fractions of the extents (height, width)."""
    out = torch.zeros(len(rois), features.shape[1], *size, dtype=torch.float64)
    for r, roi in enumerate(rois.tolist()):
        per_bin = [ratio or max(math.ceil(extents[r][axis] / size[axis]), 0) for axis in (0, 1)]
        for c in range(features.shape[1]):
            plane = features[int(roi[0]), c].detach()
            for i in range(size[0]):
                for j in range(size[1]):
                    values = [
                        sample(
                            plane,
                            *place(
                                r,
                                (i + (a + 0.5) / per_bin[0]) / size[0],
                                (j + (b + 0.5) / per_bin[1]) / size[1],
                                (i, j),
                            ),
                        )
                        for a in range(per_bin[0])
                        for b in range(per_bin[1])
                    ]
                    out[r, c, i, j] = sum(values) / max(len(values), 1)
    return out


@pytest.mark.parametrize('clockwise', [True, False])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_of_rotated_regions(ratio, aligned, clockwise):
    features = torch.randn(2, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    rois = torch.cat([torch.tensor([[0.0], [1], [1], [0], [1]]), random_boxes(5, size=24.0)], 1)
    rois[0, 1:] = torch.tensor([8.0, 9, 60, 40, 0.7])  # beyond every border
    rois[1, 3:5] = 0.3
    shift, scale, size = (0.5 if aligned else 0.0), 0.4, (2, 3)
    extents = [[max(s * scale, 0 if aligned else 1) for s in (roi[4], roi[3])] for roi in rois.tolist()]

    def place(r, u, v, _):
        angle = rois[r, 5].item() * (1 if clockwise else -1)  # clockwise on the screen: from x towards y, downwards
        dy, dx = (u - 0.5) * extents[r][0], (v - 0.5) * extents[r][1]
        x = rois[r, 1].item() * scale - shift + dx * math.cos(angle) - dy * math.sin(angle)
        y = rois[r, 2].item() * scale - shift + dx * math.sin(angle) + dy * math.cos(angle)
        return y, x

    layer = mmcv.ops.RoIAlignRotated(size, scale, ratio, aligned, clockwise)
    torch.testing.assert_close(layer(features, rois), loop_pool(features, rois, size, ratio, place, extents))
    assert gradcheck(lambda x: layer(x, rois), features, fast_mode=True)


def test_rotated_regions_without_rotation_are_ordinary_ones():
    features = torch.randn(1, 3, 9, 9)
    box = torch.tensor([[0.0, 2, 3, 12, 9]])
    rotated = torch.tensor([[0.0, 7, 6, 10, 6, 0]])
    expected = mmcv.ops.roi_align(features, box, 2, 0.5)
    torch.testing.assert_close(mmcv.ops.roi_align_rotated(features, rotated, 2, 0.5), expected)


@pytest.mark.parametrize('ratio', [0, 2])
def test_deformable_pooling_moves_its_bins(ratio):
    features = torch.randn(2, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    corner = torch.rand(4, 2) * 8
    rois = torch.cat([torch.tensor([[0.0], [1], [1], [0]]), corner, corner + torch.rand(4, 2) * 9 + 1], 1).double()
    rois[0, 1:] = torch.tensor([-6.1, -5.3, 30, 25])
    offset = torch.randn(4, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    scale, size, gamma = 0.6, (2, 3), 0.2
    extents = [[(roi[4] - roi[2]) * scale, (roi[3] - roi[1]) * scale] for roi in rois.tolist()]

    def place(moved):
        def at(r, u, v, bin_):
            dx, dy = (offset[(r, axis, *bin_)].item() * gamma * moved for axis in (0, 1))
            y = rois[r, 2].item() * scale - 0.5 + (u + dy) * extents[r][0]
            return y, rois[r, 1].item() * scale - 0.5 + (v + dx) * extents[r][1]

        return at

    def pool(x, moves):
        return mmcv.ops.deform_roi_pool(x, rois, moves, size, scale, ratio, gamma)

    torch.testing.assert_close(pool(features, None), loop_pool(features, rois, size, ratio, place(0), extents))
    torch.testing.assert_close(pool(features, offset), loop_pool(features, rois, size, ratio, place(1), extents))
    assert gradcheck(pool, (features, offset), fast_mode=True)
    pack = mmcv.ops.ModulatedDeformRoIPoolPack(size, 2, 8, scale, ratio, gamma)  # starts with no shift and mask 0.5
    torch.testing.assert_close(pack(features.float(), rois.float()), 0.5 * pool(features, None).float())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_pooling_in_half_precision_is_float32_rounded_once(dtype):
    features = torch.randn(1, 2, 8, 8).to(dtype)
    boxes = torch.tensor([[0.0, 1, 2, 11, 14]]).to(dtype)
    rotated = torch.tensor([[0.0, 6, 7, 10, 6, 0.5]]).to(dtype)
    for function, rois in ((mmcv.ops.roi_align_rotated, rotated), (mmcv.ops.roi_align, boxes)):
        half = features.clone().requires_grad_()
        full = features.float().requires_grad_()
        out, expected = function(half, rois, 2, 0.5), function(full, rois.float(), 2, 0.5)
        assert torch.equal(out, expected.to(dtype))
        grads = [torch.autograd.grad(value.sum(), x)[0] for value, x in ((out, half), (expected, full))]
        assert torch.equal(grads[0], grads[1].to(dtype))


def test_many_samples_are_pooled_in_parts(monkeypatch):
    from projects.openmmlab_compat.ops import point_pooling

    features = torch.randn(1, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    rois = torch.cat([torch.zeros(6, 1), random_boxes(6)], 1)
    outs = []
    for limit in (1 << 20, 10):
        monkeypatch.setattr(point_pooling, 'CHUNK_SAMPLES', limit)
        out = mmcv.ops.roi_align_rotated(features, rois, 3, 0.5)
        outs.append((out, torch.autograd.grad(out.square().sum(), features)[0]))
    torch.testing.assert_close(outs[0], outs[1])
