"""Faults of the released wheels that one line mends, as soon as the module concerned is imported."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from types import ModuleType, SimpleNamespace

import numpy as np
from torch import Tensor


def _let_ssd_predict(ssd_head: ModuleType) -> None:
    """`SSDHead` creates no module `loss_cls`, of which mmdet 3.3.0 asks every head whether its classes are special."""
    ssd_head.SSDHead.loss_cls = None


def _let_dmnet_take_channels_last(dm_head: ModuleType) -> None:
    """`DMHead` of mmsegmentation 1.2.2 views its map as contiguous, which ours are not on processors."""
    forward = dm_head.DCM.forward
    dm_head.DCM.forward = lambda self, x: forward(self, x.contiguous())


def _let_centernet_take_channels_last(gaussian_target: ModuleType) -> None:
    """The peaks of mmdet 3.3.0's CenterNet are sought in a view, as in `_let_dmnet_take_channels_last`."""
    topk = gaussian_target.get_topk_from_heatmap
    gaussian_target.get_topk_from_heatmap = lambda scores, k=20: topk(scores.contiguous(), k)  # type: ignore[attr-defined]


def _let_regions_be_nan(roi_align: ModuleType) -> None:
    """`RoIAlign(use_torchvision=True)` of mmcv hands regions of NaN to torchvision's kernel, which ends the process.

    Its own operator averages the same samples.
    """
    roi_align.RoIAlign.use_torchvision = property(lambda self: False, lambda self, value: None)


def _let_ytvis_score(ytviseval: ModuleType) -> None:
    """The metric of YouTube-VIS in mmdet 3.3.0 asks for `np.float`, which numpy has dropped with 1.24."""
    ytviseval.np = SimpleNamespace(**vars(np) | {'float': float})  # type: ignore[attr-defined]


def _let_masks_lie_outside(fcn_mask_head: ModuleType) -> None:
    """On processors mmdet 3.3.0 crops the picture to a mask's box, which fails for a box that lies outside of it."""
    paste = fcn_mask_head._do_paste_mask

    def paste_mask(masks: Tensor, boxes: Tensor, height: int, width: int, skip_empty: bool = True) -> tuple:
        meets = (boxes[:, :2] < boxes.new_tensor([width, height])).all() and (boxes[:, 2:] > 0).all()
        return paste(masks, boxes, height, width, skip_empty and bool(meets))

    fcn_mask_head._do_paste_mask = paste_mask  # type: ignore[attr-defined]


MENDED: Mapping[str, Callable[[ModuleType], None]] = {
    'mmcv.ops.roi_align': _let_regions_be_nan,
    'mmdet.models.dense_heads.ssd_head': _let_ssd_predict,
    'mmdet.models.roi_heads.mask_heads.fcn_mask_head': _let_masks_lie_outside,
    'mmseg.models.decode_heads.dm_head': _let_dmnet_take_channels_last,
    'mmdet.models.utils.gaussian_target': _let_centernet_take_channels_last,
    'mmdet.evaluation.functional.ytviseval': _let_ytvis_score,
}


class _MendingLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        MENDED[module.__name__](module)


class _Finder(MetaPathFinder):
    """Finds the modules of `MENDED` where Python would, and mends them once they are loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname in MENDED else None
        if spec is None or spec.origin is None:
            return None
        return spec_from_file_location(fullname, spec.origin, loader=_MendingLoader(fullname, spec.origin))


def install() -> None:
    """Mend the modules that are imported already, and the others when they are."""
    for name, mend in MENDED.items():
        if name in sys.modules:
            mend(sys.modules[name])
    sys.meta_path.insert(0, _Finder())
