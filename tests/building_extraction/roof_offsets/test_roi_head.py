"""The detector with offsets: what it costs, where its targets come from, results in pixels of the image file."""

import math

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from projects.building_extraction.roof_offsets.offset_height_head import OffsetHeightHead
from projects.training.config import load_config


@pytest.fixture(scope='module')
def cfg():
    cfg = load_config('configs/buildings/shvit_roofoffsets_scenes.py')
    cfg.model.backbone.update(arch='s1', pretrained=False)
    cfg.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=5)
    cfg.model.train_cfg.rcnn.sampler.num = 16
    return cfg


@pytest.fixture(scope='module')
def model(cfg):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.roi_head.offset_head.offset.weight, std=0.3)
    return model


def number_of(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_it_costs_a_tenth_at_most():
    cfg = load_config('configs/buildings/shvit_roofoffsets_scenes.py')
    cfg.model.backbone.pretrained = False
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    added = number_of(model.roi_head.offset_head)
    assert added / (number_of(model) - added) == pytest.approx(0.0554, abs=5e-4)  # as the page says


def ground_truth(offsets, heights_m):
    shapes = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), (128, 128))
    sample = DetDataSample(metainfo={**shapes, 'scale_factor': (1.0, 1.0)})
    boxes = torch.tensor([[10.0, 10, 50, 60], [60, 20, 110, 90]])
    masks = np.zeros((2, 128, 128), np.uint8)
    masks[0, 10:40, 10:40] = masks[1, 20:60, 60:100] = 1
    sample.gt_instances = InstanceData(
        bboxes=boxes, labels=torch.zeros(2, dtype=torch.long), masks=BitmapMasks(masks, 128, 128)
    )
    sample.gt_instances.offsets, sample.gt_instances.heights_m = torch.tensor(offsets), torch.tensor(heights_m)
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
    return sample


def test_each_proposal_gets_the_labels_of_its_own_building(model, monkeypatch):
    given = {}

    def record(head, features, roofs, rois, offsets, heights_m):
        assert roofs.shape == (len(rois), 28, 28)
        assert set(rois[:, 0].tolist()) == {0, 1}
        given.update(boxes=rois[:, 1:], offsets=offsets, heights_m=heights_m)
        return {}

    monkeypatch.setattr(OffsetHeightHead, 'loss', record)
    images = torch.rand(2, 3, 128, 128)
    samples = [ground_truth([[1.0, 2], [3, 4]], [10.0, 20]), ground_truth([[5.0, 6], [math.nan] * 2], [math.nan, 40])]
    monkeypatch.setattr(model.roi_head.bbox_sampler, 'num', 64)
    model.train()
    model.loss(images, samples)
    nearest = bbox_overlaps(given['boxes'], samples[0].gt_instances.bboxes).argmax(1)  # both images have the same
    rows = np.column_stack([nearest.numpy(), given['offsets'].numpy(), given['heights_m'].numpy()])
    expected = {(0, 1, 2, 10), (1, 3, 4, 20), (0, 5, 6, -1), (1, -1, -1, 40)}  # number, offset, height; -1 is unknown
    assert {tuple(row) for row in np.nan_to_num(rows, nan=-1).tolist()} == expected


def test_masks_and_offsets_are_learned_of_the_boxes_that_are_found(model, monkeypatch):
    """Not of the proposals that these come from, and inside of the image: as in prediction."""
    torch.manual_seed(0)
    given, deltas = [], torch.tensor([0.5, -1.0, 0.3, -0.4])
    monkeypatch.setattr(
        OffsetHeightHead, 'loss', lambda head, features, roofs, rois, *_: given.append(rois[:, 1:]) or {}
    )
    bbox_head, mask_head = model.roi_head.bbox_head, model.roi_head.mask_head
    monkeypatch.setattr(bbox_head.fc_reg.weight, 'data', torch.zeros_like(bbox_head.fc_reg.weight))
    monkeypatch.setattr(bbox_head.fc_reg.bias, 'data', deltas)
    proposals, of_masks = [], []
    sample, targets = model.roi_head.bbox_sampler.sample, mask_head.get_targets
    pooled, forward = [], model.roi_head._mask_forward

    def sampled(*args, **kwargs):
        result = sample(*args, **kwargs)
        proposals.append(result.pos_priors)
        return result

    def targets_of(sampling_results, **kwargs):
        of_masks.extend(result.pos_priors for result in sampling_results)
        return targets(sampling_results, **kwargs)

    monkeypatch.setattr(model.roi_head.bbox_sampler, 'sample', sampled)

    def forward_of(x, rois, *args, **kwargs):
        pooled.append(rois[:, 1:].clone())
        return forward(x, rois, *args, **kwargs)

    monkeypatch.setattr(mask_head, 'get_targets', targets_of)
    monkeypatch.setattr(model.roi_head, '_mask_forward', forward_of)
    model.train()
    losses = model.loss(torch.rand(1, 3, 128, 128), [ground_truth([[1.0, 2], [3, 4]], [10.0, 20])])
    unbound = bbox_head.bbox_coder.decode(proposals[0], deltas.expand(len(proposals[0]), 4))
    expected = unbound.clamp(0, 128)
    assert (unbound != expected).any()
    torch.testing.assert_close(given[0], expected)
    torch.testing.assert_close(of_masks[0], expected)
    torch.testing.assert_close(pooled[0], expected)
    assert not torch.allclose(given[0], proposals[0], atol=0.5)
    assert not given[0].requires_grad
    assert losses['loss_bbox'].requires_grad


@pytest.mark.parametrize('known', ['both', 'offsets', 'heights', 'none'])
def test_it_trains_on_whatever_is_known(model, known):
    offsets = [[5.0, 6], [3, 4]] if known in ('both', 'offsets') else [[math.nan] * 2] * 2
    heights_m = [9.0, 20] if known in ('both', 'heights') else [math.nan] * 2
    model.train()
    losses = model.loss(torch.rand(1, 3, 128, 128), [ground_truth(offsets, heights_m)])
    assert (losses['loss_offset'] > 0) == (known in ('both', 'offsets'))
    assert (losses['loss_height'] > 0) == (losses['loss_height_class'] > 0) == (known in ('both', 'heights'))
    assert losses['loss_mask'] > 0


def predict(model, scale_factor, consensus):
    model.eval()
    model.roi_head.test_cfg.lean_consensus = consensus
    shape = tuple(round(128 / factor) for factor in scale_factor[::-1])
    meta = {'img_shape': (128, 128), 'ori_shape': shape, 'scale_factor': scale_factor, 'pad_shape': (128, 128)}
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return [one.pred_instances for one in model.predict(images, [DetDataSample(metainfo=meta) for _ in range(2)])]


def test_results_are_in_pixels_of_the_image_file(model):
    raw, scaled = predict(model, (1.0, 1.0), False), predict(model, (2.0, 0.5), False)
    for one, other in zip(raw, scaled, strict=True):
        assert one.offsets.shape == (5, 2)
        torch.testing.assert_close(other.offsets * torch.tensor([2.0, 0.5]), one.offsets)
        torch.testing.assert_close(other.heights_m, one.heights_m)
        torch.testing.assert_close(one.height_probs.sum(1), torch.ones(5))
        assert one.masks.shape == (5, 128, 128)
    assert not torch.allclose(raw[0].offsets, raw[1].offsets)
    assert raw[0].offsets.norm(dim=1).min() > 1e-3


def test_consensus_is_that_of_each_image(model):
    evidence = torch.linspace(-2, 2, 10)
    hook = model.roi_head.offset_head.evidence.register_forward_hook(lambda *_: evidence[:, None])
    both = predict(model, (1.0, 1.0), False), predict(model, (1.0, 1.0), True)
    hook.remove()
    for raw, straight, own in zip(*both, evidence.split(5), strict=True):
        weights = raw.scores * own.exp()
        lean = weights @ raw.offsets / (weights @ raw.heights_m)
        expected = raw.heights_m[:, None] * lean
        torch.testing.assert_close(straight.offsets, expected)
        torch.testing.assert_close(straight.heights_m, raw.heights_m)
        assert not torch.allclose(raw.offsets, expected, atol=1e-3)


def test_nothing_is_found(model):
    model.roi_head.test_cfg.score_thr = 2.0
    for found in predict(model, (1.0, 1.0), True):
        assert (found.offsets.shape, found.heights_m.shape, found.height_probs.shape) == ((0, 2), (0,), (0, 4))
    model.roi_head.test_cfg.score_thr = 0.0
