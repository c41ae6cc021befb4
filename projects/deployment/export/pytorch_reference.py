"""What the network says in PyTorch, through OpenMMLab's own inference."""

from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement
from mmseg.structures import SegDataSample

from ..predictions import Detections, Prediction, Segmentation


class PyTorchReference:
    """Predicts as tools/test.py does: neither the graph for export nor anything else of this project takes part.

    Args:
        model: An EncoderDecoder of mmseg or a detector of mmdet, in eval mode.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, images: np.ndarray) -> list[Prediction]:
        """Predict images (B, H, W, 3), uint8 RGB, at the network's scale.

        Returns:
            One prediction per image, at (H, W). Masks are boolean and cover the image, (N, H, W).
        """
        height, width = images.shape[1:3]
        meta = {
            'img_shape': (height, width),
            'ori_shape': (height, width),
            'pad_shape': (height, width),
            'scale_factor': (1.0, 1.0),
        }
        sample_class = SegDataSample if hasattr(self.model, 'decode_head') else DetDataSample
        samples = [sample_class(metainfo=meta) for _ in images]
        inputs = [torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))) for image in images]
        with torch.inference_mode():
            results = self.model.test_step({'inputs': inputs, 'data_samples': samples})
        return [_prediction(result) for result in results]


def _prediction(sample: BaseDataElement) -> Prediction:
    if isinstance(sample, SegDataSample):
        logits = sample.seg_logits.data  # with one channel mmseg gives its probability
        probabilities = logits if len(logits) == 1 else logits.softmax(0)
        labels = sample.pred_sem_seg.data[0].numpy()
        return Segmentation(labels.astype(np.uint8 if len(logits) <= 256 else np.uint16), probabilities.numpy())
    found = sample.pred_instances
    optional = [found[name].numpy() if name in found else None for name in ('masks', 'offsets', 'heights_m')]
    return Detections(found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy(), *optional)
