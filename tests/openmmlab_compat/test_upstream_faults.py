"""What fails in the released wheels works."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from projects.openmmlab_compat import upstream_faults  # isort: skip  before anything of mmdet
import torch
from mmdet.evaluation.functional import YTVIS, YTVISeval
from mmdet.models.dense_heads import SSDHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.utils import get_topk_from_heatmap
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmseg.models.decode_heads import DMHead
from pycocotools import mask as coco_mask


def test_ssd_predicts():
    """A box at the prior, of class 1 of 2 by far."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = SSDHead(
            num_classes=2,
            in_channels=(4,),
            anchor_generator={
                'type': 'SSDAnchorGenerator',
                'scale_major': False,
                'input_size': 32,
                'min_sizes': [16],
                'max_sizes': [24],
                'strides': [32],
                'ratios': [[2]],
            },
            test_cfg=ConfigDict(nms_pre=9, nms={'type': 'nms', 'iou_threshold': 0.5}, score_thr=0.5, max_per_img=9),
        )
    priors = head.num_base_priors[0]
    scores = torch.zeros(1, priors, 3)
    scores[0, 0, 1] = 9
    (result,) = head.predict_by_feat(
        [scores.view(1, -1, 1, 1)],
        [torch.zeros(1, 4 * priors, 1, 1)],
        batch_img_metas=[{'img_shape': (32, 32), 'scale_factor': (1, 1)}],
    )
    assert result.labels.tolist() == [1]
    assert result.bboxes[0].tolist() == pytest.approx([8, 8, 24, 24])


def test_masks_of_boxes_outside_of_the_picture():
    """QueryInst clips no box: one outside of the picture on each side, one at its corner and one of NaNs."""
    boxes = torch.tensor(
        [[-9, 2, -3, 5], [2, -9, 5, -3], [11, 2, 14, 5], [2, 9, 5, 12], [-2, -2, 4, 3], [float('nan')] * 4]
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = FCNMaskHead(num_convs=0, in_channels=1, conv_out_channels=1, num_classes=1)
    (result,) = head.predict_by_feat(
        [torch.full((6, 1, 4, 4), 9.0)],
        [InstanceData(bboxes=boxes, labels=torch.zeros(6, dtype=torch.long))],
        [{'ori_shape': (8, 10), 'scale_factor': (1, 1)}],
        ConfigDict(mask_thr_binary=0.5),
        rescale=True,
    )
    corner = torch.zeros(8, 10, dtype=torch.bool)
    corner[:3, :4] = True
    assert result.masks[4].equal(corner)
    assert not result.masks[[0, 1, 2, 3, 5]].any()


def test_dmnet_of_maps_in_channels_last():
    """The values and gradients of the same map in either layout agree."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = DMHead(filter_sizes=(1, 3), in_channels=4, channels=3, num_classes=2).double().eval()
    plain = torch.rand(2, 4, 6, 5, dtype=torch.float64).requires_grad_()
    last = plain.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    expected, found = (head([features]) for features in (plain, last))
    assert found.allclose(expected)
    for score in (expected, found):
        score.square().sum().backward()
    assert last.grad.allclose(plain.grad)


def test_peaks_of_maps_in_channels_last():
    """The highest of 24 values lies in channel 1, row 0, column 2."""
    heat = torch.zeros(1, 2, 3, 4)
    heat[0, 1, 0, 2] = 1
    scores, _, classes, rows, columns = get_topk_from_heatmap(heat.contiguous(memory_format=torch.channels_last), k=1)
    assert [float(value) for value in (scores, classes, rows, columns)] == [1, 1, 0, 2]


def _square(corner):
    mask = torch.zeros(8, 8, dtype=torch.uint8)
    mask[corner : corner + 4, corner : corner + 4] = 1
    rle = coco_mask.encode(mask.numpy().copy(order='F'))
    return {'size': [8, 8], 'counts': rle['counts'].decode()}


def test_youtube_vis_scores():
    """One of two tracks of equal length is found exactly, the other one not at all."""
    truth = {
        'videos': [{'id': 1, 'width': 8, 'height': 8, 'length': 2}],
        'categories': [{'id': 1, 'name': 'car'}],
        'annotations': [
            {'id': i, 'video_id': 1, 'category_id': 1, 'iscrowd': 0, 'areas': [16, 16], 'bboxes': [[0, 0, 4, 4]] * 2,
             'segmentations': [_square(corner)] * 2, 'width': 8, 'height': 8}
            for i, corner in ((1, 0), (2, 4))
        ],
    }  # fmt: skip
    tracks = YTVIS(json.loads(json.dumps(truth)))
    found = tracks.loadRes([{'video_id': 1, 'category_id': 1, 'score': 0.9, 'segmentations': [_square(0)] * 2}])
    scores = YTVISeval(tracks, found, 'segm')
    for step in (scores.evaluate, scores.accumulate, scores.summarize):
        step()
    recalls_up_to_half = 51 / 101
    assert scores.stats[0] == pytest.approx(recalls_up_to_half)
    assert scores.stats[7] == pytest.approx(0.5)  # recall with 10 tracks


def test_modules_imported_before(monkeypatch):
    """Possible with a compiled mmcv alone; here by a stand-in."""
    module = SimpleNamespace(np=np)
    monkeypatch.setattr(sys, 'meta_path', [*sys.meta_path])
    monkeypatch.setitem(sys.modules, 'mmdet.evaluation.functional.ytviseval', module)
    upstream_faults.install()
    assert module.np.float is float
    assert module.np.cumsum is np.cumsum
