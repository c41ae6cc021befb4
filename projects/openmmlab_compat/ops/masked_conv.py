"""Convolution at chosen pixels only, for inference with guided anchoring."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Write the patches of one image (1, C, H, W) at N output pixels into `col` (C * kernel points, N); 0 outside."""
    padded = F.pad(im[0], (pad_w, max(kernel_w - 1 - pad_w, 0), pad_h, max(kernel_h - 1 - pad_h, 0)))
    rows = mask_h_idx + torch.arange(kernel_h, device=im.device)[:, None]  # (kernel h, N)
    columns = mask_w_idx + torch.arange(kernel_w, device=im.device)[:, None]
    col.copy_(padded[:, rows[:, None], columns].flatten(0, 2))


def masked_col2im_forward(
    col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, im: Tensor, height: int, width: int, channels: int
) -> None:
    """Write the values (C, N) of N pixels to their places in `im` (1, C, H, W)."""
    im[0][:, mask_h_idx, mask_w_idx] = col
