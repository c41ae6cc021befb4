"""Detectors without proposals, RetinaNet and RTMDet: from images to boxes."""

from typing import Any

import torch
from torch import Tensor

from .box_selection import clip_boxes, larger_than, largest_side, spread_classes, suppress, take, top
from .images import ImageGraph


class DenseDetectionGraph(ImageGraph):
    """mmdet's SingleStageDetector whose head scores by sigmoid.

    The results are those of mmdet's `BaseDenseHead.predict_by_feat`. The K best
    scores of a level belong to the K locations whose best class scores highest: candidates are chosen among locations
    first, then among their classes, which finds the same and reads each score once.

    Args:
        model: A SingleStageDetector.
        images: See `ImageGraph`.

    Raises:
        ValueError: The head scores in another way.
    """

    output_names = ('boxes', 'scores', 'labels', 'image_indices')

    def __init__(self, model: Any, **images: Any) -> None:
        super().__init__(model, **images)
        head = model.bbox_head
        if not head.use_sigmoid_cls or model.test_cfg.nms.type != 'nms':
            raise ValueError(
                f'{type(head).__name__} cannot be exported: expected scores by sigmoid and NMS by IoU, as RetinaNet '
                f'and RTMDet have them, got use_sigmoid_cls={head.use_sigmoid_cls}, nms={model.test_cfg.nms.type}'
            )
        self.head, self.cfg = head, model.test_cfg

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        cls_scores, bbox_preds = self.head(self.extract_features(images))
        priors = self.head.prior_generator.grid_priors(
            [score.shape[-2:] for score in cls_scores], cls_scores[0].dtype, cls_scores[0].device
        )
        levels = [self._candidates(*level) for level in zip(cls_scores, bbox_preds, priors, strict=True)]
        boxes, scores, labels = (torch.cat(parts, 1) for parts in zip(*levels, strict=True))
        boxes = clip_boxes(boxes, images)
        spread = spread_classes(boxes, labels, largest_side(images, boxes.dtype))
        cfg = self.cfg
        scores = torch.where(larger_than(cfg.min_bbox_size, boxes), scores, torch.zeros_like(scores))
        kept = suppress(spread, scores[:, None], cfg.max_per_img, cfg.nms.iou_threshold, cfg.score_thr)
        image, box = kept[:, 0], kept[:, 2]
        return boxes[image, box], scores[image, box], labels[image, box], image

    def head_outputs(self, images: Tensor, regions: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits `cls.LEVEL` and deltas `box.LEVEL`, (B, C, h, w)."""
        cls_scores, bbox_preds = self.head(self.extract_features(images))
        return {
            **{f'cls.{level}': score for level, score in enumerate(cls_scores)},
            **{f'box.{level}': deltas for level, deltas in enumerate(bbox_preds)},
        }

    def _candidates(self, cls_score: Tensor, bbox_pred: Tensor, priors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A level's boxes (B, K, 4), scores (B, K) and labels (B, K) before suppression."""
        batch_size = cls_score.shape[0]
        logits = cls_score.permute(0, 2, 3, 1).reshape(batch_size, -1, self.head.cls_out_channels)
        deltas = bbox_pred.permute(0, 2, 3, 1).reshape(batch_size, -1, 4)
        _, locations = top(logits.amax(-1), self.cfg.nms_pre)
        logits = take(logits, locations)
        best, pairs = top(logits.flatten(1), self.cfg.nms_pre)
        labels = pairs % self.head.cls_out_channels
        chosen = locations.gather(1, torch.div(pairs, self.head.cls_out_channels, rounding_mode='floor'))
        boxes = self.head.bbox_coder.decode(priors[chosen].flatten(0, 1), take(deltas, chosen).flatten(0, 1))
        return boxes.reshape(batch_size, -1, 4), best.sigmoid(), labels
