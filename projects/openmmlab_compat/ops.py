"""mmcv's compiled operators, answered by torchvision's kernels.

`mmcv.ops` calls the functions of a compiled module, `mmcv._ext`, which mmcv-lite does not ship and which takes a
compiler and a quarter of an hour to build. This module puts a stand-in in its place: the operators that mmdet and mmseg
models use run on torchvision's CPU and CUDA kernels, every other one raises an error that says what to install. A
compiled `mmcv._ext` stays in charge where there is one.

The operators keep the names, the argument names and the conventions of mmcv 2.1.0 (`mmcv/ops/csrc/pytorch/pybind.cpp`):
results are written into tensors that the caller allocates, and added where mmcv accumulates gradients. Half precision
is computed in float32. Boxes are `(x1, y1, x2, y2)`, regions of interest (R, 5) are `(image index, x1, y1, x2, y2)`,
both in pixels.
"""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from operator import itemgetter
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from projects.openmmlab_compat.roi_align_cpu import roi_align_gradient

_KERNELS = torch.ops.torchvision
_GROUPS = ('group', 'deformable_group')
_geometry_v1 = itemgetter('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', *_GROUPS)
_geometry_v2 = itemgetter('stride_h', 'stride_w', 'pad_h', 'pad_w', 'dilation_h', 'dilation_w', *_GROUPS)


def _widen(first: Tensor, *others: Tensor) -> list[Tensor]:
    """All tensors in the dtype to compute in: float64 if the first one has it, else float32."""
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    return [tensor.to(dtype) for tensor in (first, *others)]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices (K,) of the kept boxes by falling score, for boxes (N, 4) whose sides are `x2 - x1 + offset` long."""
    boxes, scores = _widen(boxes, scores)
    return _KERNELS.nms(torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1), scores, iou_threshold)


def softnms(
    boxes: Tensor, scores: Tensor, dets: Tensor,
    iou_threshold: float, sigma: float, min_score: float, method: int, offset: int,
) -> Tensor:  # fmt: skip
    """Soft-NMS (Bodla et al. 2017, arXiv:1704.04503): a box that overlaps a better one loses score.

    Method 0 zeroes the scores of boxes at or above the IoU threshold, 1 scales these by `1 - IoU`, 2 scales all scores
    by `exp(-IoU² / sigma)`. Writes the picked boxes with their final scores into the first K rows of `dets` (N, 5) and
    returns their indices (K,). Of equal scores the first box is picked.
    """
    boxes, scores = _widen(boxes, scores)
    scores = scores.clone()
    areas = (boxes[:, 2:] - boxes[:, :2] + offset).prod(dim=1)
    remaining = torch.arange(len(boxes), device=boxes.device)
    picked: list[Tensor] = []
    while len(remaining):
        best = remaining[scores[remaining].argmax()]
        dets[len(picked)] = torch.cat([boxes[best], scores[best, None]])
        picked.append(best)
        remaining = remaining[remaining != best]
        right_bottom = torch.minimum(boxes[best, 2:], boxes[remaining, 2:])
        left_top = torch.maximum(boxes[best, :2], boxes[remaining, :2])
        overlaps = (right_bottom - left_top + offset).clamp_min(0).prod(dim=1)
        ious = (overlaps / (areas[best] + areas[remaining] - overlaps)).nan_to_num()
        if method == 2:
            decay = torch.exp(-ious.square() / sigma)
        else:
            decay = torch.where(ious >= iou_threshold, (1 - ious) * method, 1.0)
        scores[remaining] *= decay
        remaining = remaining[scores[remaining] >= min_score]
    return torch.stack(picked) if picked else remaining


def roi_align_forward(
    input: Tensor, rois: Tensor, output: Tensor, argmax_y: Tensor, argmax_x: Tensor, aligned_height: int,
    aligned_width: int, spatial_scale: float, sampling_ratio: int, pool_mode: int, aligned: bool,
) -> None:  # fmt: skip
    """RoIAlign (He et al. 2017, arXiv:1703.06870) of features (B, C, H, W) into (R, C, h, w), averaging its samples.

    Raises:
        NotImplementedError: `pool_mode` is 0, the maximum of the samples, for which torchvision has no kernel.
    """
    if pool_mode == 0:
        _missing('roi_align_forward(pool_mode="max")')()
    input, rois = _widen(input, rois)
    output.copy_(_KERNELS.roi_align(input, rois, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor, aligned_height: int,
    aligned_width: int, spatial_scale: float, sampling_ratio: int, pool_mode: int, aligned: bool,
) -> None:  # fmt: skip
    """Gradient of `roi_align_forward` by its features, added to `grad_input` (B, C, H, W)."""
    grad, rois = _widen(grad_output, rois)
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
    bin is 0 with argmax -1, and so are all bins of a region without area.
    """
    (rois,) = _widen(rois)
    bins = torch.tensor([pooled_width, pooled_height], device=rois.device)
    start, end = rois[:, 1:3] * spatial_scale, (rois[:, 3:] + 1) * spatial_scale
    index = torch.cartesian_prod(torch.arange(pooled_height), torch.arange(pooled_width)).flip(1).to(rois.device)
    sizes = ((end - start) / bins)[:, None]
    firsts = (index * sizes + start[:, None]).floor()
    lasts = ((index + 1) * sizes + start[:, None]).ceil() - 1
    without_area = (end <= start).any(dim=1)[:, None, None]
    firsts = firsts.masked_fill(without_area, max(input.shape))  # outside every image
    images = rois[:, None, :1].expand(-1, len(index), 1)
    bin_rois = torch.cat([images, firsts, lasts], dim=2).flatten(0, 1)
    values, positions = _KERNELS.roi_pool(*_widen(input, bin_rois), 1.0, 1, 1)
    shape = (len(rois), pooled_height, pooled_width, input.shape[1])
    output.copy_(values.view(shape).permute(0, 3, 1, 2))
    argmax.copy_(positions.view(shape).permute(0, 3, 1, 2))


def roi_pool_backward(
    grad_output: Tensor, rois: Tensor, argmax: Tensor, grad_input: Tensor,
    pooled_height: int, pooled_width: int, spatial_scale: float,
) -> None:  # fmt: skip
    """Gradient of `roi_pool_forward` by its features, added to `grad_input` (B, C, H, W)."""
    grad, rois = _widen(grad_output, rois)
    size = (pooled_height, pooled_width, *grad_input.shape)
    grad_input += _KERNELS._roi_pool_backward(grad, rois, argmax, spatial_scale, *size)


def _deform_operands(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None = None, bias: Tensor | None = None
) -> list[Tensor]:
    """Operands of torchvision's deformable kernels, which take a bias always and a mask even where they ignore it."""
    mask = input.new_empty(len(input), 1) if mask is None else mask
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return _widen(input, weight, offset, mask, bias)


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **geometry: int
) -> None:
    """Deformable convolution (Dai et al. 2017, arXiv:1703.06211) of (B, C, H, W) into (B, D, h, w).

    `offset` (B, 2 * deform groups * kernel points, h, w) holds (y, x) in pixels for each kernel point.

    Note:
        A point exactly one pixel outside the image, where the sampled value has a kink, gets the one-sided derivative
        by its offset that points inwards; mmcv's kernel gives 0 there.
    """
    operands = _deform_operands(input, weight, offset)
    output.copy_(_KERNELS.deform_conv2d(*operands, *_geometry_v1(geometry), False))


def deform_conv_backward_input(
    input: Tensor, offset: Tensor, grad_output: Tensor, grad_input: Tensor, grad_offset: Tensor, weight: Tensor,
    columns: Tensor, **geometry: int,
) -> None:  # fmt: skip
    """Gradients of `deform_conv_forward` by its input and offset, added to `grad_input` and `grad_offset`.

    The kernel gives the gradient by the weight too. It is left in mmcv's scratch tensor `columns`, where
    `deform_conv_backward_parameters`, which mmcv calls next, picks it up.
    """
    operands = _deform_operands(input, weight, offset)
    by_input, by_weight, by_offset, _, _ = _KERNELS._deform_conv2d_backward(
        grad_output.to(operands[0]), *operands, *_geometry_v1(geometry), False
    )
    grad_input += by_input
    grad_offset += by_offset
    columns.resize_(weight.shape).copy_(by_weight)


def deform_conv_backward_parameters(
    input: Tensor, offset: Tensor, grad_output: Tensor, grad_weight: Tensor, columns: Tensor, ones: Tensor,
    scale: float, **geometry: int,
) -> None:  # fmt: skip
    """Gradient of `deform_conv_forward` by its weight, times `scale`, added to `grad_weight`."""
    if columns.shape != grad_weight.shape:  # the weight alone needs a gradient, which does not depend on its values
        no_input, no_offset = torch.zeros_like(input), torch.zeros_like(offset)
        deform_conv_backward_input(input, offset, grad_output, no_input, no_offset, grad_weight, columns, **geometry)
    grad_weight.add_(columns, alpha=scale)
    columns.resize_(0)


def modulated_deform_conv_forward(
    input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor, offset: Tensor, mask: Tensor, output: Tensor,
    columns: Tensor, with_bias: bool, **geometry: int,
) -> None:  # fmt: skip
    """Deformable convolution v2 (Zhu et al. 2018, arXiv:1811.11168): as v1, each sample weighted by `mask`."""
    operands = _deform_operands(input, weight, offset, mask, bias if with_bias else None)
    output.copy_(_KERNELS.deform_conv2d(*operands, *_geometry_v2(geometry), True))


def modulated_deform_conv_backward(
    input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor, offset: Tensor, mask: Tensor, columns: Tensor,
    grad_input: Tensor, grad_weight: Tensor, grad_bias: Tensor, grad_offset: Tensor, grad_mask: Tensor,
    grad_output: Tensor, with_bias: bool, **geometry: int,
) -> None:  # fmt: skip
    """Gradients of `modulated_deform_conv_forward`, added to the five `grad_` tensors."""
    operands = _deform_operands(input, weight, offset, mask, bias if with_bias else None)
    grads = _KERNELS._deform_conv2d_backward(grad_output.to(operands[0]), *operands, *_geometry_v2(geometry), True)
    totals = [grad_input, grad_weight, grad_offset, grad_mask] + [grad_bias] * with_bias
    for total, grad in zip(totals, grads, strict=False):
        total += grad


def _row_weights(weight: Tensor, target: Tensor, num_classes: int, background: float) -> Tensor:
    """Weight (N,) of each row: that of its label's class, `background` where the label names none.

    Raises:
        ValueError: a label exceeds the number of classes, which itself stands for background.
    """
    if target.numel() and target.max() > num_classes:
        raise ValueError(
            f'label {int(target.max())} with num_classes={num_classes}: labels are 0 to {num_classes - 1}, and '
            f'{num_classes} or negative for background. Compare the classes of the data set with those of the head.'
        )
    is_class = (target >= 0) & (target < num_classes)
    weight = weight if weight.numel() else weight.new_ones(num_classes)
    return torch.where(is_class, weight[target.clamp(0, num_classes - 1)], background)


def _is_target(target: Tensor, num_classes: int) -> Tensor:
    """Labels (N,) as a mask (N, C), all False in the rows of background."""
    return target[:, None] == torch.arange(num_classes, device=target.device)


def _sigmoid_focal_terms(
    logits: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each logit (N, C): +1 for the target, else -1; weighted alpha or 1 - alpha; log(p); 1 - p.

    p is the probability given to the truth. Its logarithm comes from the logit, so that it holds where p underflows.
    """
    logits, weight = _widen(logits, weight)
    row_weight = _row_weights(weight, target, logits.shape[1], background=1.0)[:, None]
    is_target = _is_target(target, logits.shape[1])
    sign = torch.where(is_target, 1.0, -1.0)
    scale = torch.where(is_target, alpha * row_weight, (1 - alpha) * row_weight)
    return sign, scale, F.logsigmoid(sign * logits), torch.sigmoid(-sign * logits)


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al. 2017, arXiv:1708.02002) `-alpha (1 - p)^gamma log(p)` of each logit (N, C)."""
    _, scale, log_p, miss = _sigmoid_focal_terms(input, target, weight, alpha)
    output.copy_(-scale * miss**gamma * log_p)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of each loss of `sigmoid_focal_loss_forward` by its logit, (N, C)."""
    sign, scale, log_p, miss = _sigmoid_focal_terms(input, target, weight, alpha)
    grad_input.copy_(-sign * scale * miss**gamma * (miss - gamma * log_p.exp() * log_p))


def _softmax_focal_terms(softmax: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row of probabilities (N, C): weight, 0 for background; p of the target; 1 - p; neither p exactly 0."""
    softmax, weight = _widen(softmax, weight)
    row_weight = _row_weights(weight, target, softmax.shape[1], background=0.0)
    p = softmax.gather(1, target.clamp(0, softmax.shape[1] - 1)[:, None])[:, 0]
    tiny = torch.finfo(torch.float32).tiny
    return row_weight, p.clamp_min(tiny), (1 - p).clamp_min(tiny)


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss `-alpha (1 - p)^gamma log(p)` of each row (N,) of softmax probabilities (N, C), 0 for background."""
    row_weight, p, miss = _softmax_focal_terms(input, target, weight)
    output.copy_(-alpha * row_weight * miss**gamma * p.log())


def softmax_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivatives of the losses of `softmax_focal_loss_forward` by the logits (N, C) under the softmax."""
    row_weight, p, miss = _softmax_focal_terms(input, target, weight)
    by_log_p = alpha * row_weight * (gamma * miss ** (gamma - 1) * p * p.log() - miss**gamma)
    grad_input.copy_(by_log_p[:, None] * (_is_target(target, input.shape[1]).to(p) - input))


def get_compiler_version() -> str:
    """What environment reports give as mmcv's compiler and CUDA version."""
    return f'none, operators of torchvision {torchvision.__version__}'


def _missing(name: str) -> Callable[..., NoReturn]:
    """What stands for an operator that torchvision does not have."""

    def raise_error(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f'mmcv operator {name} has no counterpart in torchvision. Install a compiled mmcv 2.1.0, about 13 minutes '
            "on 2 cores: pip install 'setuptools<80' && pip uninstall -y mmcv-lite && "
            'pip install --no-build-isolation mmcv==2.1.0'
        )

    return raise_error


def _operator(name: str) -> Callable[..., NoReturn]:
    """Module-level `__getattr__` (PEP 562) of the stand-in: any name but Python's own may be an operator."""
    if name.startswith('__'):
        raise AttributeError(f"module 'mmcv._ext' has no attribute {name!r}")
    return _missing(name)


_OPERATORS = (
    nms, softnms, roi_align_forward, roi_align_backward, roi_pool_forward, roi_pool_backward, deform_conv_forward,
    deform_conv_backward_input, deform_conv_backward_parameters, modulated_deform_conv_forward,
    modulated_deform_conv_backward, sigmoid_focal_loss_forward, sigmoid_focal_loss_backward,
    softmax_focal_loss_forward, softmax_focal_loss_backward, get_compiler_version,
)  # fmt: skip


def install() -> None:
    """Make `mmcv.ops` importable: register a stand-in for `mmcv._ext` unless there is a compiled one."""
    if importlib.util.find_spec('mmcv._ext') is not None:
        return
    # mmcv and mmengine take the loader in a module's spec for the sign that operators exist.
    module = importlib.util.module_from_spec(ModuleSpec('mmcv._ext', importlib.abc.Loader()))
    for operator in _OPERATORS:
        setattr(module, operator.__name__, operator)
    module.__dict__.update(get_compiling_cuda_version=get_compiler_version, __getattr__=_operator)
    sys.modules['mmcv._ext'] = module
