"""RoIAlign and RoIPool by torchvision's kernels.

What a diverged step brings along must not end the process or ask for endless memory: regions of NaN or infinity give
NaN and pass no gradient, and regions far larger than the map, whose samples torchvision would store, are pooled by
matrix products that leave out the samples beside the map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..roi_align_cpu import roi_align_gradient, roi_align_product
from .derivatives import widen
from .missing import missing

_KERNELS = torch.ops.torchvision


def huge_extent(map_shape: Sequence[int]) -> int:
    """Cells beyond which a region of maps (B, C, H, W) is not worth its samples."""
    return 2 * max(map_shape[2:]) + 64


def check_images(rois: Tensor, batch_size: int) -> Tensor:
    """Index (R,) of each region's image, from its first column; 0 if that is not finite.

    Raises:
        ValueError: a region names an image that is not in the batch.
    """
    images = rois[:, 0].nan_to_num(0.0, 0.0, 0.0).long()
    wrong = (images < 0) | (images >= batch_size)
    if wrong.any():
        number = int(wrong.nonzero()[0])
        raise ValueError(f'region {number} is in image {int(images[number])}, the batch has {batch_size} images')
    return images


def _finite_and_huge(
    rois: Tensor, spatial_scale: float, map_shape: torch.Size, sampling_ratio: int
) -> tuple[Tensor, Tensor]:
    """Which regions (R, 5) are finite, and which of these would be sampled at more points than are worth storing."""
    extent = (rois[:, 3:] - rois[:, 1:3]) * spatial_scale  # the difference may overflow
    finite = torch.cat([rois, extent], dim=1).isfinite().all(dim=1)
    limit = float('inf') if sampling_ratio > 0 else huge_extent(map_shape)
    return finite, finite & (extent.abs() > limit).any(dim=1)


def roi_align_forward(
    input: Tensor, rois: Tensor, output: Tensor, argmax_y: Tensor, argmax_x: Tensor, aligned_height: int,
    aligned_width: int, spatial_scale: float, sampling_ratio: int, pool_mode: int, aligned: bool,
) -> None:  # fmt: skip
    """RoIAlign (He et al. 2017, arXiv:1703.06870) of features (B, C, H, W) into (R, C, h, w), averaging its samples.

    Raises:
        NotImplementedError: `pool_mode` is 0, the maximum of the samples, for which torchvision has no kernel.
        ValueError: a region names an image that is not in the batch.
    """
    if pool_mode == 0:
        missing("roi_align_forward(pool_mode='max')")()
    input, rois = widen(input, rois)
    check_images(rois, len(input))
    finite, huge = _finite_and_huge(rois, spatial_scale, input.shape, sampling_ratio)
    usual = rois.masked_fill(~(finite & ~huge)[:, None], 0.0)
    size = (aligned_height, aligned_width)
    output.copy_(_KERNELS.roi_align(input, usual, spatial_scale, *size, sampling_ratio, aligned))
    if huge.any():
        pooled = roi_align_product(input, rois[huge].double(), spatial_scale, size, sampling_ratio, aligned)
        output[huge] = pooled.to(output)
    output.masked_fill_(~finite[:, None, None, None], float('nan'))


def roi_align_backward(
    grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor, aligned_height: int,
    aligned_width: int, spatial_scale: float, sampling_ratio: int, pool_mode: int, aligned: bool,
) -> None:  # fmt: skip
    """Gradient of `roi_align_forward` by its features, added to `grad_input` (B, C, H, W)."""
    grad, rois = widen(grad_output, rois)
    finite, huge = _finite_and_huge(rois, spatial_scale, grad_input.shape, sampling_ratio)
    if huge.any():
        operands = (grad[huge], rois[huge].double())
        grad_input += roi_align_gradient(*operands, spatial_scale, grad_input.shape, sampling_ratio, aligned)
    grad, rois = grad[finite & ~huge], rois[finite & ~huge]
    if grad.device.type == 'cpu':
        grad_input += roi_align_gradient(grad, rois, spatial_scale, grad_input.shape, sampling_ratio, aligned)
    else:
        size = (aligned_height, aligned_width, *grad_input.shape)
        grad_input += _KERNELS._roi_align_backward(grad, rois, spatial_scale, *size, sampling_ratio, aligned)


def roi_pool_forward(
    input: Tensor, rois: Tensor, output: Tensor, argmax: Tensor,
    pooled_height: int, pooled_width: int, spatial_scale: float,
) -> None:  # fmt: skip
    """RoIPool (Girshick 2015, arXiv:1504.08083) of features (B, C, H, W) into (R, C, h, w) and its flat `argmax`.

    mmcv divides the unrounded region, its last pixel included, and rounds each bin outwards; torchvision rounds the
    region first. Every bin therefore goes to torchvision's kernel as a region of its own, in whole pixels. An empty
    bin is 0 with argmax -1, and so are all bins of a region without area; a region of NaN or infinity gives NaN.

    Raises:
        ValueError: a region names an image that is not in the batch.
    """
    (rois,) = widen(rois)
    check_images(rois, len(input))
    finite = rois.isfinite().all(dim=1)
    rois = rois.masked_fill(~finite[:, None], 0.0)
    bins = torch.tensor([pooled_width, pooled_height], device=rois.device)
    start, end = rois[:, 1:3] * spatial_scale, (rois[:, 3:] + 1) * spatial_scale
    index = torch.cartesian_prod(torch.arange(pooled_height), torch.arange(pooled_width)).flip(1).to(rois.device)
    sizes = ((end - start) / bins)[:, None]
    firsts = (index * sizes + start[:, None]).floor()
    lasts = ((index + 1) * sizes + start[:, None]).ceil() - 1
    without_area = (end <= start).any(dim=1)[:, None, None]
    outside = max(input.shape[2:]) + 1.0
    firsts, lasts = firsts.clamp(-2.0, outside), lasts.clamp(-2.0, outside)  # the kernel takes them as integers
    firsts = firsts.masked_fill(without_area, outside)
    images = rois[:, None, :1].expand(-1, len(index), 1)
    bin_rois = torch.cat([images, firsts, lasts], dim=2).flatten(0, 1)
    values, positions = _KERNELS.roi_pool(*widen(input, bin_rois), 1.0, 1, 1)
    shape = (len(rois), pooled_height, pooled_width, input.shape[1])
    unknown = ~finite[:, None, None, None]
    output.copy_(values.view(shape).permute(0, 3, 1, 2).masked_fill(unknown, float('nan')))
    argmax.copy_(positions.view(shape).permute(0, 3, 1, 2).masked_fill(unknown, -1))


def roi_pool_backward(
    grad_output: Tensor, rois: Tensor, argmax: Tensor, grad_input: Tensor,
    pooled_height: int, pooled_width: int, spatial_scale: float,
) -> None:  # fmt: skip
    """Gradient of `roi_pool_forward` by its features, added to `grad_input` (B, C, H, W)."""
    grad, rois = widen(grad_output, rois.nan_to_num())
    size = (pooled_height, pooled_width, *grad_input.shape)
    grad_input += _KERNELS._roi_pool_backward(grad, rois, argmax, spatial_scale, *size)
