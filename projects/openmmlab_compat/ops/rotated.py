"""Overlaps and suppression of rotated boxes and other convex quadrilaterals.

A rotated box is (centre x, centre y, width, height, angle), the angle in radians from the x axis towards the y axis,
clockwise on the screen. All is computed in float64.
"""

import torch
from torch import Tensor

CHUNK_PAIRS = 1 << 17  # pairs computed at a time, about 100 MB
_TOLERANCE = 1e-9  # of the larger quadrilateral's extent: edges as close as that lie on one line
_NO_AREA = 1e-14  # mmcv's limit, below which a box overlaps nothing


def _corners(boxes: Tensor) -> Tensor:
    """Corners (N, 4, 2) of rotated boxes (N, 5); a box of negative area shrinks to its centre."""
    center, size, angle = boxes[:, None, :2], boxes[:, None, 2:4], boxes[:, 4]
    size = size.masked_fill(size.prod(dim=2, keepdim=True) < 0, 0.0)
    signs = boxes.new_tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    x, y = (signs * size).unbind(dim=2)  # (N, 4)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    return center + torch.stack([x * cos - y * sin, x * sin + y * cos], dim=2)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of vectors (..., 2)."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _signed_areas(corners: Tensor) -> Tensor:
    """Areas (N,) of quadrilaterals (N, 4, 2), negative where the corners run against the clock."""
    return 0.5 * _cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])


def _inner_edges(first: Tensor, second: Tensor, tolerance: Tensor, keep_common: bool) -> Tensor:
    """Twice the area under the parts of the first quadrilaterals' edges that lie in the second: sum of cross products.

    Each edge is cut by the four half-planes of the second (Cyrus and Beck 1978). An edge on a line with one of the
    second's counts as inside if `keep_common` and both run in the same direction.
    """
    start, end = first, first.roll(-1, dims=1)  # (P, 4, 2)
    base, direction = second, second.roll(-1, dims=1) - second
    length = direction.norm(dim=2).clamp_min(torch.finfo(first.dtype).tiny)
    inward = direction.unsqueeze(1) / length[:, None, :, None]
    distance_start = _cross(inward, start[:, :, None] - base[:, None])  # (P, edges of the first, edges of the second)
    distance_end = _cross(inward, end[:, :, None] - base[:, None])
    tolerance = tolerance[:, None, None]
    common = (distance_start.abs() <= tolerance) & (distance_end.abs() <= tolerance)
    same_direction = ((end - start)[:, :, None] * inward).sum(dim=3) > 0
    inside = torch.where(common, same_direction & keep_common, (distance_start >= 0) | (distance_end >= 0)).all(dim=2)
    crossing = (distance_start / (distance_start - distance_end)).nan_to_num()
    enters = torch.where(~common & (distance_start < 0), crossing, 0.0).amax(dim=2)  # as fractions of the edge
    leaves = torch.where(~common & (distance_end < 0), crossing, 1.0).amin(dim=2)
    part = (leaves - enters).clamp_min(0) * inside
    # The line through start and end bounds the same area wherever on it the part lies.
    return (_cross(start, end) * part).sum(dim=1)


def _intersections(first: Tensor, second: Tensor) -> Tensor:
    """Area (P,) that convex quadrilaterals (P, 4, 2) have in common, by Green's theorem on its border.

    The border consists of the parts of each one's edges that lie in the other.
    """
    origin = (first.mean(dim=1, keepdim=True) + second.mean(dim=1, keepdim=True)) / 2
    first, second = first - origin, second - origin
    tolerance = _TOLERANCE * torch.cat([first, second], dim=1).abs().amax(dim=(1, 2))
    border = _inner_edges(first, second, tolerance, True) + _inner_edges(second, first, tolerance, False)
    return (border / 2).clamp_min(0)


def _ious(corners1: Tensor, corners2: Tensor, index1: Tensor, index2: Tensor, iof: bool) -> Tensor:
    """IoU (P,) of the pairs of quadrilaterals (N, 4, 2) and (M, 4, 2) that `index1` and `index2` name.

    With `iof`, the part of the first that the second covers.
    """
    areas1, areas2 = _signed_areas(corners1), _signed_areas(corners2)
    corners1, corners2 = (
        torch.where((areas < 0)[:, None, None], corners.flip(1), corners)
        for areas, corners in ((areas1, corners1), (areas2, corners2))
    )
    intersection = areas1.new_zeros(len(index1))
    low1, high1, low2, high2 = corners1.amin(1), corners1.amax(1), corners2.amin(1), corners2.amax(1)
    meet = ((low1[index1] <= high2[index2]) & (low2[index2] <= high1[index1])).all(dim=1)  # False for NaN
    for pairs in meet.nonzero()[:, 0].split(CHUNK_PAIRS):
        intersection[pairs] = _intersections(corners1[index1[pairs]], corners2[index2[pairs]])
    area1, area2 = areas1.abs()[index1], areas2.abs()[index2]
    ious = intersection / (area1 if iof else area1 + area2 - intersection)
    return torch.where((area1 < _NO_AREA) | (area2 < _NO_AREA), 0.0, ious)


def _write_ious(corners1: Tensor, corners2: Tensor, ious: Tensor, iof: bool, aligned: bool) -> None:
    """Write the IoUs of corresponding quadrilaterals if `aligned`, else of all pairs, row by row."""
    rows, columns = len(corners1), len(corners2)
    numbers = torch.arange(rows, device=ious.device)
    if aligned:
        ious.copy_(_ious(corners1, corners2, numbers, numbers, iof))
        return
    others = torch.arange(columns, device=ious.device)
    table = ious.view(rows, columns)
    for some in numbers.split(max(8 * CHUNK_PAIRS // max(columns, 1), 1)):
        index1, index2 = some.repeat_interleave(columns), others.repeat(len(some))
        table[some] = _ious(corners1, corners2, index1, index2, iof).view(len(some), columns).to(table)


def box_iou_rotated(boxes1: Tensor, boxes2: Tensor, ious: Tensor, mode_flag: int, aligned: bool) -> None:
    """Write the IoU (mode 0) or the covered part of the first (mode 1) of rotated boxes (N, 5) and (M, 5).

    `ious` is (N,) if `aligned`, where N = M and box i meets box i, else (N * M,), the row of box 0 first. A box without
    area overlaps nothing.
    """
    _write_ious(_corners(boxes1.double()), _corners(boxes2.double()), ious, mode_flag == 1, aligned)


def box_iou_quadri(boxes1: Tensor, boxes2: Tensor, ious: Tensor, mode_flag: int, aligned: bool) -> None:
    """As `box_iou_rotated`, of convex quadrilaterals (N, 8), four corners (x, y) in the order of the border."""
    corners1, corners2 = (boxes.double().view(-1, 4, 2) for boxes in (boxes1, boxes2))
    _write_ious(corners1, corners2, ious, mode_flag == 1, aligned)


def _suppress(corners: Tensor, order: Tensor, iou_threshold: float) -> Tensor:
    """Indices (K,) of the quadrilaterals that no better kept one overlaps above the threshold."""
    corners = corners[order]
    suppressed_by: list[list[int]] = [[] for _ in range(len(order))]  # of each the better ones, all by rank
    numbers = torch.arange(len(order), device=order.device)
    low, high = corners.amin(1), corners.amax(1)
    for some in numbers.split(max(8 * CHUNK_PAIRS // max(len(order), 1), 1)):
        meet = ((low[some, None] <= high) & (low <= high[some, None])).all(dim=2) & (numbers < some[:, None])
        worse, better = meet.nonzero(as_tuple=True)
        worse = some[worse]
        above = _ious(corners, corners, better, worse, iof=False) > iou_threshold
        for w, b in zip(worse[above].tolist(), better[above].tolist(), strict=True):
            suppressed_by[w].append(b)
    kept: set[int] = set()
    for rank, better_ones in enumerate(suppressed_by):
        if kept.isdisjoint(better_ones):
            kept.add(rank)
    return order[torch.tensor(sorted(kept), dtype=torch.long, device=order.device)]


def nms_rotated(
    dets: Tensor, scores: Tensor, order: Tensor, dets_sorted: Tensor, labels: Tensor, iou_threshold: float,
    multi_label: bool,
) -> Tensor:  # fmt: skip
    """Indices (K,) by falling score of the rotated boxes (N, 5) without a better one above the IoU threshold.

    `order` sorts the scores. Labels, which stand in column 5 of `dets` with `multi_label`, play no part, as in mmcv's
    kernels: `batched_nms` keeps classes apart.
    """
    return _suppress(_corners(dets[:, :5].double()), order, iou_threshold)


def nms_quadri(
    dets: Tensor, scores: Tensor, order: Tensor, dets_sorted: Tensor, iou_threshold: float, multi_label: bool
) -> Tensor:
    """As `nms_rotated`, of convex quadrilaterals (N, 8)."""
    return _suppress(dets[:, :8].double().view(-1, 4, 2), order, iou_threshold)
