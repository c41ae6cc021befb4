"""Multi-scale deformable attention, and the masks of point-wise spatial attention."""

from functools import partial

import torch
from torch import Tensor

from .derivatives import add_gradients, widen


def _attend(value: Tensor, sampling_locations: Tensor, attention_weights: Tensor, spatial_shapes: Tensor) -> Tensor:
    """Deformable attention by mmcv's function for processors, with the borders of its CUDA kernel.

    A point that is not within one cell of its map, NaN included, counts as 0 and has no gradient.
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch  # needs the stand-in installed

    sizes = spatial_shapes.flip(1)[:, None].to(value)  # (levels, 1, 2): width, height
    position = sampling_locations * sizes - 0.5
    near = ((position > -1) & (position < sizes)).all(dim=-1, keepdim=True)
    locations = torch.where(near, sampling_locations, -1.0)
    return multi_scale_deformable_attn_pytorch(value, spatial_shapes, locations, attention_weights)


def ms_deform_attn_forward(
    value: Tensor, value_spatial_shapes: Tensor, value_level_start_index: Tensor, sampling_locations: Tensor,
    attention_weights: Tensor, im2col_step: int,
) -> Tensor:  # fmt: skip
    """Multi-scale deformable attention (Zhu et al. 2020, arXiv:2010.04159).

    Args:
        value: (B, cells of all levels, heads, C), the levels one after the other.
        value_spatial_shapes: Height and width of each level, (levels, 2).
        value_level_start_index: Ignored: the levels follow one another.
        sampling_locations: (B, Q, heads, levels, points, 2), (x, y) as fractions of the map.
        attention_weights: (B, Q, heads, levels, points).
        im2col_step: Ignored: how many images mmcv's kernel takes at a time.

    Returns:
        The attended values, (B, Q, heads * C).
    """
    wide, locations, weights = widen(value, sampling_locations, attention_weights)
    return _attend(wide, locations, weights, value_spatial_shapes).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor, value_spatial_shapes: Tensor, value_level_start_index: Tensor, sampling_locations: Tensor,
    attention_weights: Tensor, grad_output: Tensor, grad_value: Tensor, grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor, im2col_step: int,
) -> None:  # fmt: skip
    """Gradients of `ms_deform_attn_forward`, added to the three `grad_` tensors that are no input."""
    function = partial(_attend, spatial_shapes=value_spatial_shapes)
    operands = (value, sampling_locations, attention_weights)
    add_gradients(function, operands, grad_output, (grad_value, grad_sampling_loc, grad_attn_weight))


def _offset_index(size: int, mask_size: int, half: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Along one axis: which cell of the mask at pixel p speaks of pixel t, (t, p), and whether there is one."""
    pixels = torch.arange(size, device=device)
    cell = pixels[:, None] - pixels + half
    return cell.clamp(0, mask_size - 1), (cell >= 0) & (cell < mask_size)


def _spread(input: Tensor, psa_type: int, h_mask: int, w_mask: int, half_h_mask: int, half_w_mask: int) -> Tensor:
    """Masks (B, h_mask * w_mask, H, W) around each pixel as maps (B, H * W, H, W) over the whole image.

    Of type 0, `collect`, channel t holds at pixel p what the mask of p says of t; of type 1, `distribute`, channel p
    holds it at pixel t. 0 where the mask does not reach.
    """
    height, width = input.shape[2:]
    rows, in_rows = _offset_index(height, h_mask, half_h_mask, input.device)
    columns, in_columns = _offset_index(width, w_mask, half_w_mask, input.device)
    cell = rows[:, None, :, None] * w_mask + columns[None, :, None]  # (t row, t column, p row, p column)
    reached = in_rows[:, None, :, None] & in_columns[None, :, None]
    cell, reached = cell.flatten(0, 1), reached.flatten(0, 1)
    maps = torch.where(reached, input.gather(1, cell.expand(len(input), -1, -1, -1)), 0.0)
    return maps if psa_type == 0 else maps.flatten(2).transpose(1, 2).reshape(maps.shape)


def psamask_forward(
    input: Tensor, output: Tensor, psa_type: int, num_: int, h_feature: int, w_feature: int, h_mask: int, w_mask: int,
    half_h_mask: int, half_w_mask: int,
) -> None:  # fmt: skip
    """Write the maps of point-wise spatial attention (PSANet, Zhao et al., ECCV 2018) to `output` (B, H * W, H, W)."""
    output.copy_(_spread(input, psa_type, h_mask, w_mask, half_h_mask, half_w_mask))


def psamask_backward(
    grad_output: Tensor, grad_input: Tensor, psa_type: int, num_: int, h_feature: int, w_feature: int, h_mask: int,
    w_mask: int, half_h_mask: int, half_w_mask: int,
) -> None:  # fmt: skip
    """Gradient of `psamask_forward`, added to `grad_input` (B, h_mask * w_mask, H, W)."""
    function = partial(
        _spread, psa_type=psa_type, h_mask=h_mask, w_mask=w_mask, half_h_mask=half_h_mask, half_w_mask=half_w_mask
    )
    add_gradients(function, (grad_input,), grad_output, (grad_input,))
