"""Deformable convolution by torchvision's kernels.

A point that is not within one pixel of the image counts as 0 and has no gradient. torchvision's kernel agrees only in
part: exactly one pixel outside it gives a one-sided derivative by the offset, where mmcv's gives 0, and an offset of
NaN or infinity makes it read where it must not. Offsets of such points are therefore replaced beforehand by ones that
point two pixels outside, where the kernel gives 0 for everything.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .derivatives import widen

_KERNELS = torch.ops.torchvision
_Geometry = tuple[Sequence[int], Sequence[int], Sequence[int], int, int]  # stride, padding, dilation, groups


def _geometry_v1(named: dict[str, int]) -> _Geometry:
    """What mmcv calls the geometry of `deform_conv_…`."""
    stride, padding, dilation = ((named[name + 'H'], named[name + 'W']) for name in ('d', 'pad', 'dilation'))
    return stride, padding, dilation, named['group'], named['deformable_group']


def _geometry_v2(named: dict[str, int]) -> _Geometry:
    """What mmcv calls the geometry of `modulated_deform_conv_…`."""
    stride, padding, dilation = ((named[f'{name}_h'], named[f'{name}_w']) for name in ('stride', 'pad', 'dilation'))
    return stride, padding, dilation, named['group'], named['deformable_group']


def _output_size(input: Tensor, weight: Tensor, geometry: _Geometry) -> list[int]:
    """Height and width of the output."""
    return [
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, padding, dilation in zip(
            input.shape[2:], weight.shape[2:], *geometry[:3], strict=True
        )
    ]


def _in_strides_of_output(maps: Tensor, name: str, channels: int, size: Sequence[int]) -> Tensor:
    """The maps (B, channels, h, w) that mmcv reads in `maps`, whose own height and width may be larger.

    mmcv takes the numbers of an image as they lie in memory, in the strides of the output, and ignores the rest. DyHead
    of mmdet gives such maps, and its released weights have learned with them.

    Raises:
        ValueError: there are fewer numbers than that.
    """
    count = channels * size[0] * size[1]
    flat = maps.flatten(1)
    if flat.shape[1] < count:
        needed = (channels, *size)
        raise ValueError(f'deformable convolution: {name} is {tuple(maps.shape[1:])} an image, less than {needed}')
    return flat[:, :count].unflatten(1, (channels, *size))


def _add_in_strides_of_output(total: Tensor, grad: Tensor) -> None:
    """Add the gradient of `_in_strides_of_output` to that of the maps it was given."""
    grad = grad.flatten(1)
    full = grad.new_zeros(total.shape)
    full.flatten(1)[:, : grad.shape[1]] = grad
    total += full


def _within_reach(offset: Tensor, input: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
    """The offsets, those of points beyond one pixel of the image replaced as the head of this file says."""
    stride, padding, dilation, _, deform_groups = geometry
    points = offset.unflatten(1, (deform_groups, *weight.shape[2:], 2))  # (B, G, kernel h, kernel w, 2, h, w)
    steps = [torch.arange(count, device=offset.device) for count in (*weight.shape[2:], *offset.shape[2:])]
    bases = [
        (steps[axis] * dilation[axis]).view(-1, 1) + steps[2 + axis] * stride[axis] - padding[axis] for axis in (0, 1)
    ]
    base_y, base_x = bases[0][:, None, :, None], bases[1][None, :, None]
    base = torch.stack(torch.broadcast_tensors(base_y, base_x), dim=2)  # (kernel h, kernel w, 2, h, w)
    size = torch.tensor(input.shape[2:], device=offset.device).view(2, 1, 1)
    position = base + points
    near = ((position > -1) & (position < size)).all(dim=4, keepdim=True)  # False for NaN
    return torch.where(near, points, -2 - base).flatten(1, 4)


def _operands(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, geometry: _Geometry
) -> list[Tensor]:
    """Operands of torchvision's deformable kernels, which take a bias always and a mask even where they ignore it."""
    size = _output_size(input, weight, geometry)
    points = geometry[4] * weight.shape[2] * weight.shape[3]
    offset = _in_strides_of_output(offset, 'the map of offsets', 2 * points, size)
    mask = input.new_empty(len(input), 1) if mask is None else _in_strides_of_output(mask, 'the mask', points, size)
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    input, weight, offset, mask, bias = widen(input, weight, offset, mask, bias)
    return [input, weight, _within_reach(offset, input, weight, geometry), mask, bias]


def _forward(operands: list[Tensor], geometry: _Geometry, with_mask: bool) -> Tensor:
    """Output (B, D, h, w) of torchvision's kernel."""
    stride, padding, dilation, groups, deform_groups = geometry
    return _KERNELS.deform_conv2d(*operands, *stride, *padding, *dilation, groups, deform_groups, with_mask)


def _backward(grad: Tensor, operands: list[Tensor], geometry: _Geometry, with_mask: bool) -> list[Tensor]:
    """Gradients by input, weight, offset, mask and bias of torchvision's kernel."""
    stride, padding, dilation, groups, deform_groups = geometry
    grad = grad.to(operands[0]).contiguous()
    numbers = (*stride, *padding, *dilation, groups, deform_groups)
    return _KERNELS._deform_conv2d_backward(grad, *operands, *numbers, with_mask)


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **named: int
) -> None:
    """Deformable convolution (Dai et al. 2017, arXiv:1703.06211) of (B, C, H, W) into (B, D, h, w).

    `offset` (B, 2 * deform groups * kernel points, h, w) holds (y, x) in pixels for each kernel point.

    Raises:
        ValueError: `offset` is not of the size of the output, which v1 of mmcv refuses as well.
    """
    geometry = _geometry_v1(named)
    if list(offset.shape[2:]) != _output_size(input, weight, geometry):
        expected = _output_size(input, weight, geometry)
        raise ValueError(f'deformable convolution: offsets of size {list(offset.shape[2:])}, the output is {expected}')
    output.copy_(_forward(_operands(input, weight, offset, None, None, geometry), geometry, False))


def deform_conv_backward_input(
    input: Tensor, offset: Tensor, grad_output: Tensor, grad_input: Tensor, grad_offset: Tensor, weight: Tensor,
    columns: Tensor, **named: int,
) -> None:  # fmt: skip
    """Gradients of `deform_conv_forward` by its input and offset, added to `grad_input` and `grad_offset`.

    The kernel gives the gradient by the weight too. It is left in mmcv's scratch tensor `columns`, where
    `deform_conv_backward_parameters`, which mmcv calls next, picks it up.
    """
    geometry = _geometry_v1(named)
    operands = _operands(input, weight, offset, None, None, geometry)
    by_input, by_weight, by_offset, _, _ = _backward(grad_output, operands, geometry, False)
    grad_input += by_input
    grad_offset += by_offset
    columns.resize_(weight.shape).copy_(by_weight)


def deform_conv_backward_parameters(
    input: Tensor, offset: Tensor, grad_output: Tensor, grad_weight: Tensor, columns: Tensor, ones: Tensor,
    scale: float, **named: int,
) -> None:  # fmt: skip
    """Gradient of `deform_conv_forward` by its weight, times `scale`, added to `grad_weight`."""
    if columns.shape != grad_weight.shape:  # the weight alone needs a gradient, which does not depend on its values
        no_input, no_offset = torch.zeros_like(input), torch.zeros_like(offset)
        deform_conv_backward_input(input, offset, grad_output, no_input, no_offset, grad_weight, columns, **named)
    grad_weight.add_(columns, alpha=scale)
    columns.resize_(0)


def modulated_deform_conv_forward(
    input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor, offset: Tensor, mask: Tensor, output: Tensor,
    columns: Tensor, with_bias: bool, **named: int,
) -> None:  # fmt: skip
    """Deformable convolution v2 (Zhu et al. 2018, arXiv:1811.11168): as v1, each sample weighted by `mask`.

    `offset` and `mask` may be larger than the output; then they are read in its strides.
    """
    geometry = _geometry_v2(named)
    operands = _operands(input, weight, offset, mask, bias if with_bias else None, geometry)
    output.copy_(_forward(operands, geometry, True))


def modulated_deform_conv_backward(
    input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor, offset: Tensor, mask: Tensor, columns: Tensor,
    grad_input: Tensor, grad_weight: Tensor, grad_bias: Tensor, grad_offset: Tensor, grad_mask: Tensor,
    grad_output: Tensor, with_bias: bool, **named: int,
) -> None:  # fmt: skip
    """Gradients of `modulated_deform_conv_forward`, added to the five `grad_` tensors."""
    geometry = _geometry_v2(named)
    operands = _operands(input, weight, offset, mask, bias if with_bias else None, geometry)
    by_input, by_weight, by_offset, by_mask, by_bias = _backward(grad_output, operands, geometry, True)
    grad_input += by_input
    grad_weight += by_weight
    _add_in_strides_of_output(grad_offset, by_offset)
    _add_in_strides_of_output(grad_mask, by_mask)
    if with_bias:
        grad_bias += by_bias
