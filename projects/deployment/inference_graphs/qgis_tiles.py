"""Graphs as plugins of QGIS call them; what they give and take is in `deployment.qgis`."""

from typing import Any

import torch
from torch import Tensor, nn

from ..model_info import INSTANCES, ModelInfo
from ..qgis import PROTOTYPES_PX


class QgisGraph(nn.Module):
    """A graph around one of `build_graph`: tiles (1, 3, S, S) float32, 0 to 1, to what `deployment.qgis` says.

    Args:
        graph: Images (B, H, W, 3) to probabilities, or to boxes, scores, labels, images and, maybe, masks.
        info: From `for_qgis`.
    """

    def __init__(self, graph: Any, info: ModelInfo) -> None:
        super().__init__()
        assert info.input_size is not None
        self.graph, self.threshold, self.mask_threshold = graph, info.threshold, info.mask_threshold
        self.side, self.num_classes = info.input_size[0], len(info.classes)
        self.output_names: tuple[str, ...] = ('probabilities',) if info.is_segmentor else ('detections',)
        if info.task == INSTANCES:
            self.output_names = ('detections', 'prototypes')

    def forward(self, tiles: Tensor) -> tuple[Tensor, ...]:
        outputs = dict(zip(self.graph.output_names, self.graph((tiles * 255).permute(0, 2, 3, 1)), strict=True))
        if 'probabilities' in outputs:
            return (self._channels(outputs['probabilities']),)
        left, top, right, bottom = outputs['boxes'].unbind(1)
        boxes = torch.stack(((left + right) / 2, (top + bottom) / 2, right - left, bottom - top), 1)
        scores = outputs['scores'][:, None]
        classes = torch.arange(self.num_classes, device=boxes.device)
        is_class = (outputs['labels'][:, None] == classes).to(boxes.dtype)
        if 'masks' not in outputs:
            return (torch.cat((boxes, scores, is_class), 1)[None],)
        numbers = torch.cumsum(torch.ones_like(outputs['labels']), 0)
        weights = (numbers[:, None] == numbers).to(boxes.dtype)
        detections = torch.cat((boxes, scores * is_class, weights), 1)
        return detections.transpose(0, 1)[None], self._pasted(outputs['masks'], outputs['boxes'])[None]

    def _channels(self, probabilities: Tensor) -> Tensor:
        if self.threshold is None:
            return probabilities
        if self.threshold != 0.5:
            yes, no = probabilities * (1 - self.threshold), (1 - probabilities) * self.threshold
            probabilities = yes / (yes + no)
        return torch.cat((1 - probabilities, probabilities), 1)

    def _pasted(self, masks: Tensor, boxes: Tensor) -> Tensor:
        """(N, S', S') probabilities less the threshold, of masks (N, h, w) in boxes; see `predictions.paste_mask`."""
        step = -(-self.side // PROTOTYPES_PX)
        places = (torch.arange(-(-self.side // step), device=boxes.device) + 0.5) * step
        across = _interpolation(places, boxes[:, 0], boxes[:, 2], masks.shape[2])
        down = _interpolation(places, boxes[:, 1], boxes[:, 3], masks.shape[1])
        return down @ masks @ across.transpose(1, 2) - self.mask_threshold


def _interpolation(places: Tensor, low: Tensor, high: Tensor, size: int) -> Tensor:
    """(N, P, size) weights of `size` samples between `low` and `high` (N,) at P places, with zeros beyond them."""
    extent = (high - low).clamp(min=1e-6)[:, None]
    inside = (places - low[:, None]) / extent * size - 0.5
    return (1 - (inside[..., None] - torch.arange(size, device=places.device)).abs()).clamp(min=0)
