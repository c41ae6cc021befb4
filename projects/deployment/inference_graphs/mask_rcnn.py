"""Faster and Mask R-CNN: from images to boxes and masks at RoI size."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from .box_selection import clip_boxes, larger_than, largest_side, spread_classes, suppress, take, top
from .images import ImageGraph

LOWEST = -1e30  # a logit that no box has


class MaskRCNNGraph(ImageGraph):
    """mmdet's TwoStageDetector with a StandardRoIHead; masks are pasted outside.

    The results are those of mmdet's `RPNHead`, `BBoxHead` and `FCNMaskHead` in `predict_by_feat`. A RoI head that has
    an `offset_head` (of `building_extraction.roof_offsets`) gives `offsets` (N, 2) in pixels and `heights` (N,) in
    metres too; with `lean_consensus` the offsets are those of the lean that an image's buildings have in common.

    Args:
        model: A TwoStageDetector.
        images: See `ImageGraph`.
    """

    def __init__(self, model: Any, **images: Any) -> None:
        super().__init__(model, **images)
        self.rpn_head, self.roi_head, self.cfg = model.rpn_head, model.roi_head, model.test_cfg
        self.with_offsets = hasattr(model.roi_head, 'offset_head')
        if self.roi_head.with_mask:
            self.masks_of_classes = MasksOfClasses(model.roi_head.mask_head)
        masks = ('masks',) if self.roi_head.with_mask else ()
        offsets = ('offsets', 'heights') if self.with_offsets else ()
        self.output_names = ('boxes', 'scores', 'labels', 'image_indices', *masks, *offsets)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.extract_features(images)
        found = self._detect(features, self._propose(features, images), images)
        if self.roi_head.with_mask:
            pooled, order = pool(self.roi_head.mask_roi_extractor, features, _regions_of(found))
            found = [values[order] for values in found]
            found.append(self.masks_of_classes(pooled, found[2]).sigmoid())
        if self.with_offsets:
            pooled, order = pool(self.roi_head.bbox_roi_extractor, features, _regions_of(found))
            found = [values[order] for values in found]
            boxes, masks = found[0], found[-1]
            encoded, z, _, evidence = self.roi_head.offset_head(pooled, masks, boxes)
            if self.roi_head.lean_consensus:
                of_images = found[1], found[3], images.shape[0]
                found += self.roi_head.offset_head.decode_together(encoded, z, evidence, boxes, *of_images)
            else:
                found += self.roi_head.offset_head.decode(encoded, z, boxes)
        return tuple(found)

    def regions(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Proposals (P, 5), and detections (N, 6): their regions, and their classes."""
        features = self.extract_features(images)
        rois = self._propose(features, images)
        found = self._detect(features, rois, images)
        return rois, torch.cat((_regions_of(found), found[2][:, None].to(rois.dtype)), 1)

    def head_outputs(self, images: Tensor, regions: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """Of the RPN `rpn_cls.LEVEL` and `rpn_box.LEVEL`; of the proposals `cls` (P, C + 1) and `box`.

        Where there are masks, `mask` (N, h, w) of the detections, each of its class, and of the head of offsets
        `offset`, `height` and `evidence`, as it encodes them; all in the order of the regions.
        """
        rois, detected = self.regions(images) if regions is None else regions
        features = self.extract_features(images)
        cls_scores, bbox_preds = self.rpn_head(features)
        cls_score, bbox_pred = self.roi_head.bbox_head(pool_in_order(self.roi_head.bbox_roi_extractor, features, rois))
        outputs = {
            **{f'rpn_cls.{level}': score for level, score in enumerate(cls_scores)},
            **{f'rpn_box.{level}': deltas for level, deltas in enumerate(bbox_preds)},
            'cls': cls_score,
            'box': bbox_pred,
        }
        rois, labels = detected[:, :5], detected[:, 5].long()
        if self.roi_head.with_mask:
            pooled = pool_in_order(self.roi_head.mask_roi_extractor, features, rois)
            outputs['mask'] = self.masks_of_classes(pooled, labels)
        if self.with_offsets:
            pooled = pool_in_order(self.roi_head.bbox_roi_extractor, features, rois)
            said = self.roi_head.offset_head(pooled, outputs['mask'].sigmoid(), rois[:, 1:])
            outputs['offset'], outputs['height'], _, outputs['evidence'] = said
        return outputs

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

    def _detect(self, features: Sequence[Tensor], rois: Tensor, images: Tensor) -> list[Tensor]:
        """Boxes (N, 4), scores, labels and images (N,)."""
        cfg, head = self.cfg.rcnn, self.roi_head.bbox_head
        pooled, order = pool(self.roi_head.bbox_roi_extractor, features, rois)
        rois = rois[order]
        cls_score, bbox_pred = head(pooled)
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
        return [boxes[kept], scores[kept], labels[kept], image[kept]]


class MasksOfClasses(nn.Module):
    """Mmdet's FCNMaskHead for one class of each region: weights are chosen before they multiply, not maps after.

    Args:
        head: Stays as it is, and shares its layers.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.last, self.before = head.conv_logits, copy.copy(head)
        self.before._modules = {**head._modules, 'conv_logits': nn.Identity()}

    def forward(self, pooled: Tensor, labels: Tensor) -> Tensor:
        """Logits (N, h, w) of what is pooled of N regions, (N, C, h', w'), and their labels (N,)."""
        x = self.before(pooled)
        labels = torch.zeros_like(labels) if self.before.class_agnostic else labels
        weight, bias = self.last.weight.flatten(1)[labels], self.last.bias[labels]
        channels, height, width = map(int, x.shape[1:])  # as numbers: ONNX Runtime divides by none of them, if N is 0
        logits = x.reshape(-1, channels, height * width).transpose(1, 2) @ weight[..., None] + bias[:, None, None]
        return logits.reshape(-1, height, width)


def pool(extractor: Any, features: Sequence[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
    """Mmdet's SingleRoIExtractor without loops over data.

    Args:
        extractor: Its RoIAlign layers and its assignment of sizes to levels.
        features: Maps (B, C, H, W), finest first; those beyond the extractor's levels are not used.
        rois: (P, 5), image, left, top, right, bottom.

    Returns:
        (P, C, size, size), level by level, as bringing it into the order of the regions would copy all of it; and the
        index (P,) of the region of each.
    """
    layers = extractor.roi_layers
    level_of_roi = extractor.map_roi_levels(rois, len(layers))
    places = [(level_of_roi == level).nonzero()[:, 0] for level in range(len(layers))]
    pooled = [
        roi_align(feature, rois[place], layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.aligned)
        for layer, feature, place in zip(layers, features, places, strict=False)
    ]
    return torch.cat(pooled), torch.cat(places)


def pool_in_order(extractor: Any, features: Sequence[Tensor], rois: Tensor) -> Tensor:
    """As `pool`, (P, C, size, size) in the order of the regions."""
    pooled, order = pool(extractor, features, rois)
    return pooled[order.argsort()]


def _regions_of(found: Sequence[Tensor]) -> Tensor:
    """(N, 5), image, left, top, right, bottom, of boxes, scores, labels and images."""
    boxes, image = found[0], found[3]
    return torch.cat((image[:, None].to(boxes.dtype), boxes), 1)
