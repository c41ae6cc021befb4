"""The mean over views of an image, flipped and resized, for networks of one logit."""

from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmengine.registry import MODELS
from mmengine.structures import PixelData


@MODELS.register_module()
class BuildingTTAModel(BaseTTAModel):
    """Test-time augmentation of segmentors with one logit, building against background.

    mmseg's `SegTTAModel` is for several classes: of one logit, mmseg's segmentors return the probability in its place,
    of which it takes the sigmoid once more. That is above 0.5 everywhere, so that everything would be a building.
    """

    def merge_preds(self, data_samples_list: list[list[Any]]) -> list[Any]:
        """Give the first view of each image the mean probability of all.

        Args:
            data_samples_list: For each image its views, whose `seg_logits` are probabilities of shape (1, H, W),
                flipped back and at the size of the file, as segmentors return them.

        Returns:
            A sample for each image, with `pred_sem_seg` of shape (1, H, W).
        """
        threshold = self.module.decode_head.threshold
        for views in data_samples_list:
            probability = torch.stack([view.seg_logits.data for view in views]).mean(dim=0)
            views[0].seg_logits = PixelData(data=probability)
            views[0].pred_sem_seg = PixelData(data=(probability > threshold).to(probability))
        return [views[0] for views in data_samples_list]
