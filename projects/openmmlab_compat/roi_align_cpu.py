"""The gradient of RoIAlign on a processor, as matrix products.

torchvision's kernel adds every sample's four neighbours to the gradient one by one, on one thread; at 160 px that takes
a quarter of a training step of Mask R-CNN. But averaging bilinear samples on a grid is separable: with W_y (P, H) and
W_x (Q, W), the weights that the P rows and Q columns of bins give to the rows and columns of a map, pooling is
W_y X W_xᵀ and its gradient W_yᵀ G W_x, dense products that a processor does at full speed.
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
    num_rows, num_columns = grad.shape[2:]
    offset = 0.5 if aligned else 0.0
    start = rois[:, 1:3] * spatial_scale - offset
    extent = rois[:, 3:] * spatial_scale - offset - start
    if not aligned:
        extent = extent.clamp_min(1.0)
    columns = _axis_weights(start[:, 0], extent[:, 0], num_columns, width, sampling_ratio)
    rows = _axis_weights(start[:, 1], extent[:, 1], num_rows, height, sampling_ratio)

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
    num_samples = torch.full_like(start, sampling_ratio) if sampling_ratio > 0 else bin_size.ceil().clamp_min(0)
    most = max(int(num_samples.max()) if len(start) else 0, 1)
    sample = torch.arange(most, device=start.device)
    used = sample < num_samples[:, None]  # (R, most)
    within = (sample + 0.5) / num_samples.clamp_min(1)[:, None]
    bins = torch.arange(num_bins, device=start.device)[:, None]
    position = start[:, None, None] + (bins + within[:, None]) * bin_size[:, None, None]  # (R, num_bins, most)
    weight = used[:, None] & (position >= -1) & (position <= size)
    weight = weight / num_samples.clamp_min(1)[:, None, None]
    position = position.clamp(0, size - 1)
    low = position.floor()
    fraction = position - low
    low = low.long()
    weights = start.new_zeros(len(start), num_bins, size)
    weights.scatter_add_(2, low, weight * (1 - fraction))
    weights.scatter_add_(2, (low + 1).clamp_max(size - 1), weight * fraction)
    return weights
