"""Faster and Mask R-CNN: from images to boxes and masks at RoI size."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import roi_align

from .box_selection import clip_boxes, larger_than, largest_side, spread_classes, suppress, take, top
from .images import ImageGraph

LOWEST = -1e30  # a logit that no box has


class MaskRCNNGraph(ImageGraph):
    """mmdet's TwoStageDetector with a StandardRoIHead; masks are pasted outside.

    The results are those of mmdet's `RPNHead`, `BBoxHead` and `FCNMaskHead` in `predict_by_feat`. A RoI head that has
    an `offset_head` (of `building_extraction.roof_offsets`) gives `offsets` (N, 2) in pixels and `heights` (N,) in
    metres too, of each box by itself: what the offsets of an image have in common is found outside.

    Args:
        model: A TwoStageDetector.
        images: See `ImageGraph`.
    """

    def __init__(self, model: Any, **images: Any) -> None:
        super().__init__(model, **images)
        self.rpn_head, self.roi_head, self.cfg = model.rpn_head, model.roi_head, model.test_cfg
        self.with_offsets = hasattr(model.roi_head, 'offset_head')
        masks = ('masks',) if self.roi_head.with_mask else ()
        offsets = ('offsets', 'heights') if self.with_offsets else ()
        self.output_names = ('boxes', 'scores', 'labels', 'image_indices', *masks, *offsets)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.extract_features(images)
        boxes, scores, labels, image = self._detect(features, self._propose(features, images), images)
        outputs = [boxes, scores, labels, image]
        rois = torch.cat((image[:, None].to(boxes.dtype), boxes), 1)
        if self.roi_head.with_mask:
            outputs.append(self._of_class(self._mask_logits(features, rois), labels).sigmoid())
        if self.with_offsets:
            encoded, z, _ = self._offset_outputs(features, outputs[-1], rois)
            outputs += self.roi_head.offset_head.decode(encoded, z, boxes)
        return tuple(outputs)

    def regions(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Proposals (P, 5), and detections (N, 6): their regions, and their classes."""
        features = self.extract_features(images)
        rois = self._propose(features, images)
        boxes, _, labels, image = self._detect(features, rois, images)
        return rois, torch.cat((image[:, None].to(boxes.dtype), boxes, labels[:, None].to(boxes.dtype)), 1)

    def head_outputs(self, images: Tensor, regions: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """Of the RPN `rpn_cls.LEVEL` and `rpn_box.LEVEL`; of the proposals `cls` (P, C + 1) and `box`.

        Where there are masks, `mask` (N, h, w) of the detections, each of its class, and of the head of offsets
        `offset` and `height`, as it encodes them.
        """
        rois, detected = self.regions(images) if regions is None else regions
        features = self.extract_features(images)
        cls_scores, bbox_preds = self.rpn_head(features)
        cls_score, bbox_pred = self.roi_head.bbox_head(pool(self.roi_head.bbox_roi_extractor, features, rois))
        outputs = {
            **{f'rpn_cls.{level}': score for level, score in enumerate(cls_scores)},
            **{f'rpn_box.{level}': deltas for level, deltas in enumerate(bbox_preds)},
            'cls': cls_score,
            'box': bbox_pred,
        }
        if self.roi_head.with_mask:
            outputs['mask'] = self._of_class(self._mask_logits(features, detected[:, :5]), detected[:, 5].long())
        if self.with_offsets:
            roofs = outputs['mask'].sigmoid()
            outputs['offset'], outputs['height'], _ = self._offset_outputs(features, roofs, detected[:, :5])
        return outputs

    def _offset_outputs(self, features: Sequence[Tensor], roofs: Tensor, rois: Tensor) -> tuple[Tensor, ...]:
        """Encoded, as the head of offsets says them of boxes and the masks in them."""
        return self.roi_head.offset_head(pool(self.roi_head.bbox_roi_extractor, features, rois), roofs, rois[:, 1:])

    def _mask_logits(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Of all classes, (N, C, h, w)."""
        return self.roi_head.mask_head(pool(self.roi_head.mask_roi_extractor, features, rois))

    @staticmethod
    def _of_class(logits: Tensor, labels: Tensor) -> Tensor:
        """(N, h, w) of (N, C, h, w)."""
        if logits.shape[1] > 1:
            return logits[torch.arange(logits.shape[0], device=logits.device), labels]
        return logits[:, 0]

    def _propose(self, features: Sequence[Tensor], images: Tensor) -> Tensor:
        """Regions of interest (P, 5): image, left, top, right, bottom.

        They are ranked by logits: ONNX Runtime rounds the sigmoid of low ones to equal numbers.
        """
        cfg, head = self.cfg.rpn, self.rpn_head
        cls_scores, bbox_preds = head(features)
        priors = head.prior_generator.grid_priors(
            [score.shape[-2:] for score in cls_scores], cls_scores[0].dtype, cls_scores[0].device
        )
        boxes, scores, levels = [], [], []
        for level, (cls_score, bbox_pred, anchors) in enumerate(zip(cls_scores, bbox_preds, priors, strict=True)):
            batch_size = cls_score.shape[0]
            logits, chosen = top(cls_score.permute(0, 2, 3, 1).reshape(batch_size, -1), cfg.nms_pre)
            deltas = take(bbox_pred.permute(0, 2, 3, 1).reshape(batch_size, -1, 4), chosen)
            decoded = head.bbox_coder.decode(anchors[chosen].flatten(0, 1), deltas.flatten(0, 1))
            boxes.append(decoded.reshape(batch_size, -1, 4))
            scores.append(logits)
            levels.append(torch.full_like(chosen, level))
        all_boxes, all_scores = clip_boxes(torch.cat(boxes, 1), images), torch.cat(scores, 1)
        all_scores = torch.where(
            larger_than(cfg.min_bbox_size, all_boxes), all_scores, torch.full_like(all_scores, LOWEST)
        )
        spread = spread_classes(all_boxes, torch.cat(levels, 1), largest_side(images, all_boxes.dtype))
        kept = suppress(spread, all_scores[:, None], cfg.max_per_img, cfg.nms.iou_threshold, LOWEST)
        image, box = kept[:, 0], kept[:, 2]
        return torch.cat((image[:, None].to(all_boxes.dtype), all_boxes[image, box]), 1)

    def _detect(self, features: Sequence[Tensor], rois: Tensor, images: Tensor) -> tuple[Tensor, ...]:
        """Boxes (N, 4), scores, labels and images (N,)."""
        cfg, head = self.cfg.rcnn, self.roi_head.bbox_head
        cls_score, bbox_pred = head(pool(self.roi_head.bbox_roi_extractor, features, rois))
        probabilities = cls_score.softmax(-1)[:, : head.num_classes]
        roi, labels = (probabilities > cfg.score_thr).nonzero().unbind(1)
        deltas = bbox_pred.reshape(-1, 1 if head.reg_class_agnostic else head.num_classes, 4)
        deltas = deltas[roi, torch.zeros_like(labels) if head.reg_class_agnostic else labels]
        boxes = clip_boxes(head.bbox_coder.decode(rois[roi, 1:], deltas), images)
        scores, image = probabilities[roi, labels], rois[roi, 0].long()

        numbers = torch.arange(images.shape[0], device=image.device)
        usable = (image == numbers[:, None]) & larger_than(-1, boxes)  # any but NaN, of overflow in half precision
        of_image = torch.where(usable, scores, torch.zeros_like(scores))
        spread = spread_classes(boxes, labels, largest_side(images, boxes.dtype))
        kept = suppress(spread[None], of_image[None], cfg.max_per_img, cfg.nms.iou_threshold, 0.0)[:, 2]
        return boxes[kept], scores[kept], labels[kept], image[kept]


def pool(extractor: Any, features: Sequence[Tensor], rois: Tensor) -> Tensor:
    """Mmdet's SingleRoIExtractor without loops over data.

    Args:
        extractor: Its RoIAlign layers and its assignment of sizes to levels.
        features: Maps (B, C, H, W), finest first; those beyond the extractor's levels are not used.
        rois: (P, 5), image, left, top, right, bottom.

    Returns:
        (P, C, size, size).
    """
    layers = extractor.roi_layers
    level_of_roi = extractor.map_roi_levels(rois, len(layers))
    places, pooled = [], []
    for level, (layer, feature) in enumerate(zip(layers, features, strict=False)):
        place = (level_of_roi == level).nonzero()[:, 0]
        places.append(place)
        pooled.append(
            roi_align(feature, rois[place], layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.aligned)
        )
    return torch.cat(pooled)[torch.cat(places).argsort()]
