"""RoIAlign as matrix products: its gradient on a processor, and regions far larger than the map.

torchvision's kernel adds every sample's four neighbours to the gradient one by one, on one thread; at 160 px that takes
a quarter of a training step of Mask R-CNN. But averaging bilinear samples on a grid is separable: with W_y (P, H) and
W_x (Q, W), the weights that the P rows and Q columns of bins give to the rows and columns of a map, pooling is
W_y X W_xᵀ and its gradient W_yᵀ G W_x, dense products that a processor does at full speed. The weights need memory for
the map and not for the samples, which may be any number if a region is far larger than the map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

CHUNK_ROWS, STRIP_CELLS = 56, 16  # rows of bins in one product; width of the strips that its regions start in


def roi_align_gradient(
    grad: Tensor,
    rois: Tensor,
    spatial_scale: float,
    input_shape: Sequence[int],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Gradient of RoIAlign (average of samples) by its features.

    Args:
        grad: Gradient by the pooled features, shape (R, C, P, Q).
        rois: Regions, shape (R, 5): image index, x1, y1, x2, y2 in pixels.
        spatial_scale: Cells of the map per pixel.
        input_shape: Of the features, (B, C, H, W).
        sampling_ratio: Samples per bin and axis; 0 takes as many as the bin has cells, rounded up.
        aligned: Whether cell centres lie at half-integers, as mmcv's `aligned=True`.

    Returns:
        The gradient, shape (B, C, H, W).
    """
    batch, channels, height, width = input_shape
    num_rows = grad.shape[2]
    start, rows, columns = _weights(rois, spatial_scale, input_shape, grad.shape[2:], sampling_ratio, aligned)
    rows, columns = rows.to(grad), columns.to(grad)

    result = grad.new_zeros(batch, height, channels, width)
    images = rois[:, 0].long()
    strip = start[:, 0].clamp(0, width).div(STRIP_CELLS).long() * (height + 1) + start[:, 1].clamp(0, height).long()
    order = strip.argsort()  # neighbours go together, as they touch few cells in all
    for image in range(batch):
        for indices in order[images[order] == image].split(max(CHUNK_ROWS // num_rows, 1)):
            row, column = _touched(rows[indices]), _touched(columns[indices])
            across = grad[indices].transpose(1, 2).flatten(1, 2) @ columns[indices][..., column]  # (r, P * C, w)
            down = rows[indices][..., row].flatten(0, 1)  # (r * P, h)
            added = down.T @ across.view(len(down), channels * across.shape[2])
            result[image, row, :, column] += added.view(down.shape[1], channels, across.shape[2])
    return result.transpose(1, 2)


def roi_align_product(
    features: Tensor,
    rois: Tensor,
    spatial_scale: float,
    size: Sequence[int],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """RoIAlign (average of samples) of features (B, C, H, W) into (R, C, *size); arguments as of the gradient."""
    _, rows, columns = _weights(rois, spatial_scale, features.shape, size, sampling_ratio, aligned)
    rows, columns = rows.to(features), columns.to(features)
    result = features.new_zeros(len(rois), features.shape[1], *size)
    with torch.autocast(features.device.type, enabled=False):  # which would multiply in half precision
        for index, image in enumerate(rois[:, 0].long().tolist()):
            result[index] = rows[index] @ (features[image] @ columns[index].T)
    return result


def _weights(
    rois: Tensor,
    spatial_scale: float,
    map_shape: Sequence[int],
    size: Sequence[int],
    sampling_ratio: int,
    aligned: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """First corners (R, 2), (x, y), of regions in cells; weights of the map's rows and columns in the bins' means."""
    offset = 0.5 if aligned else 0.0
    start = rois[:, 1:3] * spatial_scale - offset
    extent = rois[:, 3:] * spatial_scale - offset - start
    if not aligned:
        extent = extent.clamp_min(1.0)
    rows = _axis_weights(start[:, 1], extent[:, 1], size[0], map_shape[2], sampling_ratio)
    columns = _axis_weights(start[:, 0], extent[:, 0], size[1], map_shape[3], sampling_ratio)
    return start, rows, columns


def _touched(weights: Tensor) -> slice:
    """From the first to the last cell of an axis that has a weight."""
    cells = weights.any(dim=0).any(dim=0).nonzero()
    return slice(int(cells[0]), int(cells[-1]) + 1) if len(cells) else slice(0, 0)


def _axis_weights(start: Tensor, extent: Tensor, num_bins: int, size: int, sampling_ratio: int) -> Tensor:
    """Weights (R, num_bins, size) of the cells of one axis in the mean of each bin's samples.

    As in torchvision's kernel, samples more than one cell outside weigh nothing, and those less far outside count as on
    the border.
    """
    bin_size = extent / num_bins
    if sampling_ratio > 0:
        per_bin = torch.full_like(start, sampling_ratio)
        first, most = torch.zeros_like(start), num_bins * sampling_ratio
    else:  # samples lie at least half a cell apart, except in bins that have one sample each
        per_bin = bin_size.ceil().clamp_min(0)
        first = ((-1 - start) * per_bin / bin_size - 0.5).nan_to_num().floor().clamp_min(0)  # may reach the map
        wanted = num_bins * float(per_bin.max()) if len(start) else 0
        most = int(min(wanted, max(num_bins, 2 * size + 6)))
    number = first[:, None] + torch.arange(most, device=start.device)  # of a sample along the region, (R, most)
    divisor = per_bin.clamp_min(1)[:, None]
    bins = (number / divisor).floor()
    position = start[:, None] + (bins + (number - bins * divisor + 0.5) / divisor) * bin_size[:, None]
    used = (number < num_bins * per_bin[:, None]) & (position >= -1) & (position <= size)
    weight = used / divisor
    position = position.clamp(0, size - 1)
    low = position.floor()
    fraction = position - low
    cell = bins.clamp_max(num_bins - 1).long() * size
    low = low.long()
    weights = start.new_zeros(len(start), num_bins * size)
    weights.scatter_add_(1, cell + low, weight * (1 - fraction))
    weights.scatter_add_(1, cell + (low + 1).clamp_max(size - 1), weight * fraction)
    return weights.view(-1, num_bins, size)
