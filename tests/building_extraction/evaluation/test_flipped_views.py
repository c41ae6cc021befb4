"""The mean over flipped and resized views of networks of one logit."""

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

import projects.building_extraction.evaluation  # noqa: F401 (registers the model)


class Segmentor(nn.Module):
    """Of its head, the threshold is what merging reads."""

    def __init__(self):
        super().__init__()
        self.decode_head = nn.Module()
        self.decode_head.threshold = 0.5

    def test_step(self, data):
        raise AssertionError('views are given')


def view(*probabilities):
    return SegDataSample(
        seg_logits=PixelData(data=torch.tensor([[probabilities]])),
        pred_sem_seg=PixelData(data=torch.zeros(1, 1, len(probabilities))),
        gt_sem_seg=PixelData(data=torch.ones(1, 1, len(probabilities))),
    )


def test_probabilities_are_averaged_as_they_are():
    """Means of 0.4, 0.65 and 0.05: a sigmoid more would put all of them above 0.5."""
    model = MODELS.build({'type': 'BuildingTTAModel', 'module': Segmentor()})
    (merged,) = model.merge_preds([[view(0.2, 0.8, 0.1), view(0.6, 0.5, 0.0)]])
    torch.testing.assert_close(merged.seg_logits.data, torch.tensor([[[0.4, 0.65, 0.05]]]))
    assert merged.pred_sem_seg.data.tolist() == [[[0, 1, 0]]]
    assert merged.gt_sem_seg.data.tolist() == [[[1, 1, 1]]]


def test_each_image_has_its_own_views():
    model = MODELS.build({'type': 'BuildingTTAModel', 'module': Segmentor()})
    merged = model.merge_preds([[view(0.9)], [view(0.9), view(0.0)]])
    assert [sample.pred_sem_seg.data.item() for sample in merged] == [1, 0]


@pytest.mark.parametrize('threshold', [0.3, 0.7])
def test_the_threshold_is_the_heads(threshold):
    segmentor = Segmentor()
    segmentor.decode_head.threshold = threshold
    (merged,) = MODELS.build({'type': 'BuildingTTAModel', 'module': segmentor}).merge_preds([[view(0.5)]])
    assert merged.pred_sem_seg.data.item() == (threshold < 0.5)
