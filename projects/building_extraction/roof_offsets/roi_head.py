"""Mask R-CNN's second stage for boxes of buildings, masks of roofs, offsets to footprints and heights."""

from typing import Any

import torch
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import InstanceList
from mmengine.registry import MODELS
from torch import Tensor

from projects.training.heads import GlobalBatchRoIHead


@MODELS.register_module()
class RoofOffsetRoIHead(GlobalBatchRoIHead):
    """`GlobalBatchRoIHead` whose instances have `offsets`, `heights_m` and `height_probs` too.

    Boxes are those of whole buildings, roof and footprint together, masks those of roofs; footprint = roof - offset.
    The head of offsets sees what the head of boxes sees, RoIAlign of 7 x 7, of the boxes that are found. In training,
    too, masks and offsets are those of boxes as the head of boxes corrects them: what a roof leaves free in a proposal
    that is half beside its building says nothing. With `lean_consensus=True` in `test_cfg.rcnn` the offsets of an image
    are those of its common lean, as a camera far away demands (`along_common_lean`, by scores and evidence).

    Args:
        offset_head: Config of an `OffsetHeightHead`.
        kwargs: Of `GlobalBatchRoIHead`.
    """

    def __init__(self, *args: Any, offset_head: dict, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offset_head = MODELS.build(offset_head)

    @property
    def lean_consensus(self) -> bool:
        """Whether offsets are those of the lean that the buildings of an image have in common."""
        return bool(self.test_cfg.get('lean_consensus', False))

    def forward(self, x: tuple[Tensor], rpn_results_list: InstanceList, batch_data_samples: Any = None) -> tuple:
        *said, mask_preds = super().forward(x, rpn_results_list, batch_data_samples)
        rois = bbox2roi([results.bboxes for results in rpn_results_list])[: len(mask_preds)]  # the first 100
        offsets = self.offset_head(self._offset_features(x, rois), mask_preds[:, 0].sigmoid(), rois[:, 1:])
        return (*said, mask_preds, *offsets)

    def bbox_loss(self, x: tuple[Tensor], sampling_results: list) -> dict:
        results = super().bbox_loss(x, sampling_results)
        said = results['bbox_pred'].detach().split([len(result.priors) for result in sampling_results])
        for result, deltas in zip(sampling_results, said, strict=True):
            deltas = deltas[: len(result.pos_priors)].unflatten(1, (-1, 4))  # of each class, or of all
            own = deltas[range(len(deltas)), result.pos_gt_labels.clamp(max=deltas.shape[1] - 1)]
            result.pos_priors = self.bbox_head.bbox_coder.decode(result.pos_priors, own.float())
        return results

    def mask_loss(self, x: tuple[Tensor], sampling_results: list, bbox_feats: Tensor, batch_gt_instances: list) -> dict:
        for truth, result in zip(batch_gt_instances, sampling_results, strict=True):  # as boxes that are found are
            size = result.pos_priors.new_tensor([truth.masks.width, truth.masks.height] * 2)
            result.pos_priors = result.pos_priors.clamp(min=0).minimum(size)
        results = super().mask_loss(x, sampling_results, bbox_feats, batch_gt_instances)
        rois = bbox2roi([result.pos_priors for result in sampling_results])
        offsets, heights_m = (
            torch.cat(
                [
                    truth[name][result.pos_assigned_gt_inds]
                    for truth, result in zip(batch_gt_instances, sampling_results, strict=True)
                ]
            )
            for name in ('offsets', 'heights_m')
        )
        roofs = _roofs(results['mask_preds'], torch.cat([result.pos_gt_labels for result in sampling_results]))
        given = self._offset_features(x, rois), roofs, rois
        results['loss_mask'] |= self.offset_head.loss(*given, offsets, heights_m)
        return results

    def predict_mask(
        self, x: tuple[Tensor], batch_img_metas: list[dict], results_list: InstanceList, rescale: bool = False
    ) -> InstanceList:
        rois = bbox2roi([results.bboxes for results in results_list])
        mask_preds = self._mask_forward(x, rois)['mask_preds']
        roofs = _roofs(mask_preds, torch.cat([results.labels for results in results_list]))
        encoded, z, spread, evidence = self.offset_head(self._offset_features(x, rois), roofs, rois[:, 1:])
        if self.lean_consensus:
            scores = torch.cat([results.scores for results in results_list])
            images = scores, rois[:, 0].long(), len(results_list)
            offsets, heights_m = self.offset_head.decode_together(encoded, z, evidence, rois[:, 1:], *images)
        else:
            offsets, heights_m = self.offset_head.decode(encoded, z, rois[:, 1:])
        probabilities = self.offset_head.class_probabilities(z, spread)
        numbers = [len(results) for results in results_list]
        if len(rois):  # as mmdet, without the masks a second time
            split = mask_preds.split(numbers)
            results_list = self.mask_head.predict_by_feat(
                split, results_list, batch_img_metas, rcnn_test_cfg=self.test_cfg, rescale=rescale
            )
        else:
            results_list = super().predict_mask(x, batch_img_metas, results_list, rescale=rescale)
        parts = zip(*(part.split(numbers) for part in (offsets, heights_m, probabilities)), strict=True)
        for results, meta, (of_image, heights, classes) in zip(results_list, batch_img_metas, parts, strict=True):
            if rescale:
                of_image = of_image / of_image.new_tensor(meta['scale_factor'])
            results.offsets, results.heights_m, results.height_probs = of_image, heights, classes
        return results_list

    def _offset_features(self, x: tuple[Tensor], rois: Tensor) -> Tensor:
        return self.bbox_roi_extractor(x[: self.bbox_roi_extractor.num_inputs], rois)


def _roofs(mask_preds: Tensor, labels: Tensor) -> Tensor:
    """(N, M, M) probabilities of the masks of classes, of logits (N, C, M, M)."""
    if mask_preds.shape[1] > 1:
        return mask_preds[torch.arange(len(labels), device=labels.device), labels].sigmoid()
    return mask_preds[:, 0].sigmoid()
