"""Detection heads whose losses are averaged over the whole distributed batch.

mmdet divides the losses of each process by that process's own number of samples; DistributedDataParallel then takes
the mean of the quotients, so that the same images give another gradient on two GPUs than on one. Dividing by the mean
number of samples of all processes makes the two equal: mean_r(S_r / mean(n)) = sum(S_r) / sum(n). On one process these
heads are mmdet's own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import RetinaHead, RPNHead
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmengine.dist import all_reduce, get_world_size
from mmengine.registry import MODELS
from torch import Tensor


def mean_over_processes(number: float, like: Tensor) -> Tensor:
    """Mean of a number over all processes, at least 1, on the device of `like`."""
    mean = torch.tensor(float(number), device=like.device)
    all_reduce(mean, op='mean')  # nothing to do for one process
    return mean.clamp_min(1.0)


class _GlobalAverageFactor:
    """Mixin for mmdet's anchor heads: `avg_factor`, the last of the targets, becomes its mean over the processes."""

    def get_targets(self, anchor_list: Any, *args: Any, **kwargs: Any) -> tuple:
        *targets, avg_factor = super().get_targets(anchor_list, *args, **kwargs)  # type: ignore[misc]
        return (*targets, mean_over_processes(avg_factor, targets[0][0]))


@MODELS.register_module()
class FullPrecisionRoIExtractor(SingleRoIExtractor):
    """mmdet's SingleRoIExtractor in float32 under mixed precision.

    mmdet rounds the RoIs to the type of the features; bfloat16 places a coordinate above 512 px on a grid of 4 px.
    """

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Pool RoIs, shape (N, 5), from maps (B, C, H, W) to (N, C, size, size) of the type of the maps."""
        pooled = super().forward([feature.float() for feature in feats], rois.float(), roi_scale_factor)
        return pooled.to(feats[0].dtype)  # as the layer after it would round them; they stay in memory until backward


@MODELS.register_module()
class GlobalBatchRPNHead(_GlobalAverageFactor, RPNHead):
    """mmdet's RPNHead, losses averaged over the distributed batch."""


@MODELS.register_module()
class GlobalBatchRetinaHead(_GlobalAverageFactor, RetinaHead):
    """mmdet's RetinaHead, losses averaged over the distributed batch."""


@MODELS.register_module()
class GlobalBatchRoIHead(StandardRoIHead):
    """mmdet's StandardRoIHead (boxes and masks), losses averaged over the distributed batch."""

    def bbox_loss(self, x: tuple[Tensor], sampling_results: list) -> dict:
        results = super().bbox_loss(x, sampling_results)
        num_rois = sum(len(result.priors) for result in sampling_results)
        self._rescale(results['loss_bbox'], num_rois, x[0])
        return results

    def mask_loss(self, x: tuple[Tensor], sampling_results: list, bbox_feats: Tensor, batch_gt_instances: list) -> dict:
        results = super().mask_loss(x, sampling_results, bbox_feats, batch_gt_instances)
        num_masks = sum(len(result.pos_priors) for result in sampling_results)
        self._rescale(results['loss_mask'], num_masks, x[0])
        return results

    @staticmethod
    def _rescale(losses: dict[str, Tensor], number: int, like: Tensor) -> None:
        """Turn the mean over `number` local samples into a share of the mean over those of all processes."""
        if get_world_size() == 1:
            return
        scale = number / mean_over_processes(number, like)
        for name, value in losses.items():
            if 'loss' in name:
                losses[name] = value * scale
