"""mmcv's compiled operators, answered by torchvision's kernels and by plain PyTorch.

`mmcv.ops` calls the functions of a compiled module, `mmcv._ext`, which mmcv-lite does not ship and which takes a
compiler and a quarter of an hour to build. This package puts a stand-in in its place: the operators that mmdet, mmseg
and users of rotated boxes need run on torchvision's CPU and CUDA kernels or are written in PyTorch, every other one
raises an error that says what to install; README.md, next to this folder, lists both. A compiled `mmcv._ext` stays in
charge where there is one.

The operators keep the names, the argument names and the conventions of mmcv 2.1.0 (`mmcv/ops/csrc/pytorch/pybind.cpp`):
results are written into tensors that the caller allocates, and added where mmcv accumulates gradients. Half precision
is computed in float32. Boxes are `(x1, y1, x2, y2)`, regions of interest (R, 5) are `(image index, x1, y1, x2, y2)`,
both in pixels. No number in a tensor ends the process: what is sampled at NaN is NaN or 0, as in mmcv's kernels.
"""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import NoReturn

import torchvision

from . import (
    attention,
    deform_conv,
    focal_loss,
    masked_conv,
    point_pooling,
    reassembly,
    regions,
    rotated,
    suppression,
    sync_bn,
)
from .missing import missing


def get_compiler_version() -> str:
    """What environment reports give as mmcv's compiler and CUDA version."""
    return f'none, operators of torchvision {torchvision.__version__}'


def _operator(name: str) -> Callable[..., NoReturn]:
    """Module-level `__getattr__` (PEP 562) of the stand-in: any name but Python's own may be an operator."""
    if name.startswith('__'):
        raise AttributeError(f"module 'mmcv._ext' has no attribute {name!r}")
    return missing(name)


OPERATORS = {
    function.__name__: function
    for function in (
        suppression.nms, suppression.softnms, suppression.nms_match, suppression.bbox_overlaps,
        rotated.box_iou_rotated, rotated.box_iou_quadri, rotated.nms_rotated, rotated.nms_quadri,
        regions.roi_align_forward, regions.roi_align_backward, regions.roi_pool_forward, regions.roi_pool_backward,
        point_pooling.roi_align_rotated_forward, point_pooling.roi_align_rotated_backward,
        point_pooling.deform_roi_pool_forward, point_pooling.deform_roi_pool_backward,
        deform_conv.deform_conv_forward, deform_conv.deform_conv_backward_input,
        deform_conv.deform_conv_backward_parameters, deform_conv.modulated_deform_conv_forward,
        deform_conv.modulated_deform_conv_backward, masked_conv.masked_im2col_forward,
        masked_conv.masked_col2im_forward, attention.ms_deform_attn_forward, attention.ms_deform_attn_backward,
        attention.psamask_forward, attention.psamask_backward, reassembly.carafe_forward, reassembly.carafe_backward,
        reassembly.carafe_naive_forward, reassembly.carafe_naive_backward, focal_loss.sigmoid_focal_loss_forward,
        focal_loss.sigmoid_focal_loss_backward, focal_loss.softmax_focal_loss_forward,
        focal_loss.softmax_focal_loss_backward, sync_bn.sync_bn_forward_mean, sync_bn.sync_bn_forward_var,
        sync_bn.sync_bn_forward_output, sync_bn.sync_bn_backward_param, sync_bn.sync_bn_backward_data,
    )
}  # fmt: skip


def install() -> None:
    """Make `mmcv.ops` importable: register a stand-in for `mmcv._ext` unless there is a compiled one."""
    if importlib.util.find_spec('mmcv._ext') is not None:
        return
    # mmcv and mmengine take the loader in a module's spec for the sign that operators exist.
    module = importlib.util.module_from_spec(ModuleSpec('mmcv._ext', importlib.abc.Loader()))
    module.__dict__.update(OPERATORS)
    module.__dict__.update(
        get_compiler_version=get_compiler_version,
        get_compiling_cuda_version=get_compiler_version,
        __getattr__=_operator,
    )
    sys.modules['mmcv._ext'] = module
