"""Pooling of regions whose samples lie on no axis-aligned grid: rotated RoIAlign and deformable RoI pooling.

Every bin of a region is the mean of bilinear samples, that is, a weighted sum of a few cells of the map. Bins are
summed as bags of an embedding whose entries are the cells, so that no sample is ever stored for all channels.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .derivatives import add_gradients, widen
from .regions import check_images, huge_extent

CHUNK_SAMPLES = 1 << 20  # samples computed at a time, about 200 MB


def _weighted_cells(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Along one axis of a map: the cell below each position and its weight, the cell above and its weight.

    Positions more than one cell outside weigh nothing, those less far outside count as on the border. A position of
    NaN has weights of NaN.
    """
    outside = (position < -1) | (position > size)
    position = position.clamp(0, size - 1)
    low = position.detach().floor()
    fraction = (position - low).masked_fill(outside, 0.0)
    below = low.nan_to_num().long()
    return below, (1 - fraction).masked_fill(outside, 0.0), (below + 1).clamp_max(size - 1), fraction


def _sum_samples(features: Tensor, images: Tensor, y: Tensor, x: Tensor, share: Tensor, bag_sizes: Tensor) -> Tensor:
    """Weighted sums (bags, C) of bilinear samples (S,) of features (B, C, H, W), those of a bag in succession."""
    channels, height, width = features.shape[1:]
    top, weight_top, bottom, weight_bottom = _weighted_cells(y, height)
    left, weight_left, right, weight_right = _weighted_cells(x, width)
    rows = torch.stack([top, top, bottom, bottom], dim=1) + (images * height)[:, None]
    cells = rows * width + torch.stack([left, right, left, right], dim=1)
    weights = torch.stack([weight_top, weight_top, weight_bottom, weight_bottom], dim=1) * torch.stack(
        [weight_left, weight_right, weight_left, weight_right], dim=1
    )
    weights = weights * share[:, None]
    ends = 4 * bag_sizes.cumsum(0)
    return F.embedding_bag(
        cells.flatten(),
        features.permute(0, 2, 3, 1).reshape(-1, channels),
        torch.cat([ends.new_zeros(1), ends]),
        mode='sum',
        per_sample_weights=weights.flatten(),
        include_last_offset=True,
    )


def _samples_per_bin(extent: Tensor, size: tuple[int, int], sampling_ratio: int, map_shape: Sequence[int]) -> Tensor:
    """Samples (R, 2) per bin and axis: `sampling_ratio`, or if that is 0 as many as a bin has cells, rounded up.

    A region far wider than the map gets as many samples as one of `huge_extent`, which bounds memory.
    """
    if sampling_ratio > 0:
        return torch.full_like(extent, sampling_ratio, dtype=torch.long)
    return (extent.nan_to_num().clamp(0, huge_extent(map_shape)) / extent.new_tensor(size)).ceil().long()


def _pool(
    features: Tensor, center_or_start: Tensor, extent: Tensor, shift: Tensor, turn: Tensor | None, images: Tensor,
    samples: Tensor, size: tuple[int, int],
) -> Tensor:  # fmt: skip
    """Means of samples of regions, (R, C, *size); all coordinates in cells, (y, x).

    Args:
        features: (B, C, H, W).
        center_or_start: Of each region, (R, 2): its centre if it is turned, else its first corner.
        extent: (R, 2).
        shift: By which each bin moves, (R, h, w, 2).
        turn: Cosine and sine of the angle that each region turns by, (R, 2), or none.
        images: Index of each region's image, (R,).
        samples: Per bin and axis, (R, 2).
        size: Bins of a region, (h, w).
    """
    device, (height, width) = features.device, size
    bag_sizes = samples.prod(dim=1).repeat_interleave(height * width)  # (R * h * w,)
    bag = torch.arange(len(bag_sizes), device=device).repeat_interleave(bag_sizes)  # of each sample
    number = torch.arange(len(bag), device=device) - (bag_sizes.cumsum(0) - bag_sizes)[bag]
    region, of_region = bag // (height * width), bag % (height * width)
    per_bin = samples[region]
    index = torch.stack([number // per_bin[:, 1], number % per_bin[:, 1]], dim=1)
    bins = torch.stack([of_region // width, of_region % width], dim=1)
    fraction = (bins + (index.to(extent) + 0.5) / per_bin) / extent.new_tensor(size)  # of the region's extent
    point = fraction * extent[region]
    if turn is not None:
        y, x = (point - extent[region] / 2).unbind(dim=1)
        cos, sin = turn[region].unbind(dim=1)
        point = torch.stack([y * cos - x * sin, y * sin + x * cos], dim=1)
    point = point + center_or_start[region] + shift.flatten(0, 2)[bag]
    share = 1 / bag_sizes[bag].to(features.dtype)
    sums = _sum_samples(features, images[region], point[:, 0], point[:, 1], share, bag_sizes)
    return sums.view(len(samples), height, width, -1).permute(0, 3, 1, 2)


def _chunks(samples: Tensor, size: tuple[int, int]) -> Iterator[slice]:
    """Slices of the regions that together have about `CHUNK_SAMPLES` samples, or are one region."""
    counts = (samples.prod(dim=1) * size[0] * size[1]).tolist()
    first, total = 0, 0
    for number, count in enumerate(counts):
        if number > first and total + count > CHUNK_SAMPLES:
            yield slice(first, number)
            first, total = number, 0
        total += count
    if counts:
        yield slice(first, len(counts))


def _turned_regions(
    rois: Tensor, spatial_scale: float, aligned: bool, clockwise: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centres, extents and turns (R, 2) of rotated regions in cells, (y, x), and which of them are finite."""
    center = rois[:, 1:3].flip(1) * spatial_scale - (0.5 if aligned else 0.0)
    extent = rois[:, 3:5].flip(1) * spatial_scale
    extent = extent.clamp_min(0.0 if aligned else 1.0)
    angle = -rois[:, 5] if clockwise else rois[:, 5]
    finite = torch.cat([rois, extent], dim=1).isfinite().all(dim=1)  # a product may overflow
    return center, extent, torch.stack([angle.cos(), angle.sin()], dim=1), finite


def roi_align_rotated_forward(
    input: Tensor, rois: Tensor, output: Tensor, pooled_height: int, pooled_width: int, spatial_scale: float,
    sampling_ratio: int, aligned: bool, clockwise: bool,
) -> None:  # fmt: skip
    """RoIAlign of rotated regions (R, 6), `(image index, center x, y, width, height, radians)`, into (R, C, h, w).

    The angle counts against the clock on the screen, or with it if `clockwise`. Regions of NaN or infinity give NaN.
    """
    features, rois = widen(input, rois)
    size = (pooled_height, pooled_width)
    images = check_images(rois, len(features))
    center, extent, turn, finite = _turned_regions(rois, spatial_scale, aligned, clockwise)
    samples = _samples_per_bin(extent, size, sampling_ratio, features.shape)
    shift = features.new_zeros(len(rois), *size, 2)
    for some in _chunks(samples, size):
        regions = (center[some], extent[some], shift[some], turn[some], images[some], samples[some])
        output[some] = _pool(features, *regions, size).to(output)
    output.masked_fill_(~finite[:, None, None, None], float('nan'))


def roi_align_rotated_backward(
    grad_output: Tensor, rois: Tensor, grad_input: Tensor, pooled_height: int, pooled_width: int, spatial_scale: float,
    sampling_ratio: int, aligned: bool, clockwise: bool,
) -> None:  # fmt: skip
    """Gradient of `roi_align_rotated_forward` by its features, added to `grad_input` (B, C, H, W)."""
    (rois,) = widen(rois)
    size = (pooled_height, pooled_width)
    images = check_images(rois, len(grad_input))
    center, extent, turn, finite = _turned_regions(rois, spatial_scale, aligned, clockwise)
    samples = _samples_per_bin(extent, size, sampling_ratio, grad_input.shape)
    samples = samples * finite[:, None]
    shift = rois.new_zeros(len(rois), *size, 2)
    for some in _chunks(samples, size):
        function = partial(
            _pool, center_or_start=center[some], extent=extent[some], shift=shift[some], turn=turn[some],
            images=images[some], samples=samples[some], size=size,
        )  # fmt: skip
        add_gradients(function, (grad_input,), grad_output[some], (grad_input,))


def _shifted_regions(rois: Tensor, spatial_scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """First corners and extents (R, 2) of regions in cells, (y, x), and which of them are finite."""
    start = rois[:, 1:3].flip(1) * spatial_scale - 0.5
    extent = rois[:, 3:].flip(1) * spatial_scale - 0.5 - start
    return start, extent, torch.cat([rois, extent], dim=1).isfinite().all(dim=1)  # a difference may overflow


def _pool_shifted(
    features: Tensor, offset: Tensor, start: Tensor, extent: Tensor, images: Tensor, samples: Tensor,
    size: tuple[int, int], gamma: float,
) -> Tensor:  # fmt: skip
    """`_pool` of bins moved by `offset` (R, 2, h, w), (x, y) in fractions `gamma` of the region's extent."""
    shift = gamma * offset.flip(1).permute(0, 2, 3, 1) * extent[:, None, None]
    return _pool(features, start, extent, shift, None, images, samples, size)


def deform_roi_pool_forward(
    input: Tensor, rois: Tensor, offset: Tensor, output: Tensor, pooled_height: int, pooled_width: int,
    spatial_scale: float, sampling_ratio: int, gamma: float,
) -> None:  # fmt: skip
    """Deformable RoI pooling (Dai et al. 2017, arXiv:1703.06211) of features (B, C, H, W) into (R, C, h, w).

    RoIAlign whose bins move by `gamma * offset` (R, 2, h, w), (x, y) in fractions of the region; an empty `offset`
    moves none. Regions of NaN or infinity give NaN.
    """
    size = (pooled_height, pooled_width)
    features, rois, offset = widen(input, rois, offset)
    offset = offset if offset.numel() else features.new_zeros(len(rois), 2, *size)
    images = check_images(rois, len(features))
    start, extent, finite = _shifted_regions(rois, spatial_scale)
    samples = _samples_per_bin(extent, size, sampling_ratio, features.shape)
    for some in _chunks(samples, size):
        regions = (offset[some], start[some], extent[some], images[some], samples[some])
        output[some] = _pool_shifted(features, *regions, size, gamma).to(output)
    output.masked_fill_(~finite[:, None, None, None], float('nan'))


def deform_roi_pool_backward(
    grad_output: Tensor, input: Tensor, rois: Tensor, offset: Tensor, grad_input: Tensor, grad_offset: Tensor,
    pooled_height: int, pooled_width: int, spatial_scale: float, sampling_ratio: int, gamma: float,
) -> None:  # fmt: skip
    """Gradients of `deform_roi_pool_forward` by features and offset, added to `grad_input` and `grad_offset`."""
    size = (pooled_height, pooled_width)
    features, rois, moved = widen(input, rois, offset)
    moved = moved if moved.numel() else features.new_zeros(len(rois), 2, *size)
    by_offset = torch.zeros_like(moved)
    images = check_images(rois, len(features))
    start, extent, finite = _shifted_regions(rois, spatial_scale)
    samples = _samples_per_bin(extent, size, sampling_ratio, features.shape)
    samples = samples * finite[:, None]
    for some in _chunks(samples, size):
        function = partial(
            _pool_shifted, start=start[some], extent=extent[some], images=images[some], samples=samples[some],
            size=size, gamma=gamma,
        )  # fmt: skip
        add_gradients(function, (features, moved[some]), grad_output[some], (grad_input, by_offset[some]))
    if offset.numel():
        grad_offset += by_offset
