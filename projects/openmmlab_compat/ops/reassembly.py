"""CARAFE, content-aware reassembly of features (Wang et al. 2019, arXiv:1905.02188)."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .derivatives import add_gradients, widen


def _reassemble(features: Tensor, masks: Tensor, kernel_size: int, group_size: int, scale_factor: int) -> Tensor:
    """Enlarge features (B, C, H, W) by a factor s to (B, C, s * H, s * W).

    Each new pixel is a weighted sum of the square of `kernel_size` pixels around its old one, 0 outside the image. The
    weights, (B, groups * kernel points, s * H, s * W), hold for all channels of a group.
    """
    batch, channels, height, width = features.shape
    points, factor = kernel_size**2, scale_factor
    patches = F.unfold(features, kernel_size, padding=kernel_size // 2)
    patches = patches.view(batch, group_size, channels // group_size, points, height, width).permute(0, 1, 4, 5, 2, 3)
    weights = masks.reshape(batch, group_size, points, height, factor, width, factor).permute(0, 1, 3, 5, 2, 4, 6)
    with torch.autocast(features.device.type, enabled=False):  # which would multiply in half precision
        new = (patches @ weights.flatten(-2)).unflatten(-1, (factor, factor))  # (B, groups, H, W, channels, s, s)
    return new.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, channels, height * factor, width * factor)


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Write the reassembled features to `output`."""
    features, masks = widen(features, masks)
    output.copy_(_reassemble(features, masks, kernel_size, group_size, scale_factor))


def carafe_naive_backward(
    top_grad: Tensor, features: Tensor, masks: Tensor, bottom_grad: Tensor, mask_grad: Tensor,
    kernel_size: int, group_size: int, scale_factor: int,
) -> None:  # fmt: skip
    """Gradients by features and weights, added to `bottom_grad` and `mask_grad`."""
    function = partial(_reassemble, kernel_size=kernel_size, group_size=group_size, scale_factor=scale_factor)
    add_gradients(function, (features, masks), top_grad, (bottom_grad, mask_grad))


def carafe_forward(
    features: Tensor, masks: Tensor, rfeatures: Tensor, routput: Tensor, rmasks: Tensor, output: Tensor,
    kernel_size: int, group_size: int, scale_factor: int,
) -> None:  # fmt: skip
    """As `carafe_naive_forward`; `rfeatures`, which mmcv keeps for the gradient, receives the features."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    top_grad: Tensor, rfeatures: Tensor, masks: Tensor, rtop_grad: Tensor, rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor, rmask_grad: Tensor, bottom_grad: Tensor, mask_grad: Tensor,
    kernel_size: int, group_size: int, scale_factor: int,
) -> None:  # fmt: skip
    """As `carafe_naive_backward`, of the features in `rfeatures`."""
    carafe_naive_backward(top_grad, rfeatures, masks, bottom_grad, mask_grad, kernel_size, group_size, scale_factor)
