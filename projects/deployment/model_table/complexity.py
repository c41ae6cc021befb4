"""Parameters and multiply-adds (MACs) of a model, from the shapes of its tensors alone.

What counts is said in `multiply_adds`.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from mmdet.models import SingleStageDetector, TwoStageDetector
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from mmseg.models import EncoderDecoder
from torch._subclasses.fake_tensor import FakeTensorMode

from ..multiply_adds import Macs, count_macs

Model: TypeAlias = EncoderDecoder | SingleStageDetector | TwoStageDetector


class Complexity(NamedTuple):
    """Size and work of a model in inference.

    Attributes:
        backbone_params: Parameters of the backbone.
        params: Parameters of the whole model; auxiliary heads, which only training uses, are left out.
        backbone_macs: Multiply-adds of the backbone.
        macs: Multiply-adds of the whole model.
    """

    backbone_params: int
    params: int
    backbone_macs: Macs
    macs: Macs


def count_complexity(model: Model, image_size: tuple[int, int]) -> Complexity:
    """Count parameters and multiply-adds of a detector or segmentor for one image.

    A two-stage detector is counted as by mmdet 3.3's `get_flops.py`, with the most that its test settings admit: as
    many boxes as the RPN may propose (`test_cfg.rpn.max_per_img`, 1000), as many masks as may be detected
    (`test_cfg.rcnn.max_per_img`, 100). A segmentor is counted up to the logits, at their own resolution.

    Args:
        model: A segmentor of mmseg or a detector of mmdet, on any device; it is left in eval mode.
        image_size: Height and width in pixels. Nothing is computed, and no memory needed, however large they are.

    Returns:
        The counts.

    Raises:
        ValueError: If the model is of another kind.
    """
    if not isinstance(model, Model):
        raise ValueError(
            f'{type(model).__name__} cannot be counted; expected an EncoderDecoder of mmseg, or a SingleStageDetector '
            'or TwoStageDetector of mmdet.'
        )
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.empty(1, 3, *image_size, device=device)
        maps, backbone_macs = count_macs(model.backbone, images)
        _, head_macs = count_macs(_neck_and_heads, model, maps)
    model.eval()  # once more: networks forget what they may have kept of tensors without data
    return Complexity(
        backbone_params=sum(parameter.numel() for parameter in model.backbone.parameters()),
        params=sum(
            parameter.numel() for name, parameter in model.named_parameters() if not name.startswith('auxiliary_head.')
        ),
        backbone_macs=backbone_macs,
        macs=backbone_macs + head_macs,
    )


def _neck_and_heads(model: Model, maps: Sequence[torch.Tensor]) -> None:
    if model.with_neck:
        maps = model.neck(maps)
    if isinstance(model, EncoderDecoder):
        model.decode_head(maps)
    elif isinstance(model, SingleStageDetector):
        model.bbox_head(maps)
    else:
        model.rpn_head(maps)
        roi_head, test_cfg = model.roi_head, model.test_cfg
        roi_head.bbox_head(_pooled(roi_head.bbox_roi_extractor, test_cfg.rpn.max_per_img, maps[0]))
        if roi_head.with_mask:
            roi_head.mask_head(_pooled(roi_head.mask_roi_extractor, test_cfg.rcnn.max_per_img, maps[0]))


def _pooled(roi_extractor: BaseRoIExtractor, num_rois: int, like: torch.Tensor) -> torch.Tensor:
    """Features of RoIs, shape (num_rois, C, size, size), of which only the shape matters."""
    return like.new_empty(num_rois, roi_extractor.out_channels, *roi_extractor.roi_layers[0].output_size)
