import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import PackDetInputs, RandomFlip, Resize
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import mask_target
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from pycocotools import mask as rle_codes

from projects.pixels.run_lengths import encode_masks
from projects.training.instance_masks import LoadInstances, PlacedMaskHead, PlacedMasks

HEIGHT, WIDTH = 48, 64
RECTANGLE = [10.0, 8.0, 30.0, 8.0, 30.0, 28.0, 10.0, 28.0]
TRIANGLE = [40.0, 40.0, 60.0, 40.0, 40.0, 10.0]


def code_of(polygon):
    code = rle_codes.merge(rle_codes.frPyObjects([polygon], HEIGHT, WIDTH))
    return {**code, 'counts': code['counts'].decode()}


def load(*masks, ignored=()):
    instances = [
        {'bbox': [10, 8, 30, 28], 'bbox_label': 0, 'ignore_flag': int(index in ignored), 'mask': mask}
        for index, mask in enumerate(masks)
    ]
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return LoadInstances()({
        'instances': instances, 'ori_shape': (HEIGHT, WIDTH), 'img_shape': (HEIGHT, WIDTH), 'img': image,
        'img_id': 0, 'img_path': '',
    })  # fmt: skip


def test_masks_stay_polygons_and_follow_the_image():
    results = load([RECTANGLE], [TRIANGLE])
    assert isinstance(results['gt_masks'], PolygonMasks)
    results = RandomFlip(prob=1.0)(Resize(scale=(WIDTH * 2, HEIGHT * 2))(results))
    (corners,), _ = results['gt_masks'].masks
    np.testing.assert_allclose(corners[0::2], 2 * WIDTH - 2 * np.array(RECTANGLE[0::2]))
    np.testing.assert_allclose(corners[1::2], 2 * np.array(RECTANGLE[1::2]))


def test_run_length_codes_stay_bitmaps():
    results = load([RECTANGLE], code_of(TRIANGLE))
    assert isinstance(results['gt_masks'], BitmapMasks)
    assert results['gt_masks'].masks.sum((1, 2)).tolist() == [400, int(rle_codes.area(code_of(TRIANGLE)))]
    assert not results['gt_ignore_flags'].any()


def test_codes_of_crowds_and_polygons_without_corners_are_read_by_no_head():
    results = load([RECTANGLE], code_of(TRIANGLE), [[1.0, 2.0, 3.0, 4.0]], ignored=[1])
    assert isinstance(results['gt_masks'], PolygonMasks)
    assert results['gt_ignore_flags'].tolist() == [False, True, True]
    instances = PackDetInputs(meta_keys=())(results)['data_samples'].gt_instances
    assert len(instances) == len(instances.masks) == 1
    np.testing.assert_array_equal(instances.masks.masks[0][0], RECTANGLE)


def test_targets_of_a_mask_head_are_those_of_a_fine_drawing():
    random = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    differing = []
    for _ in range(20):
        corners = np.array([32, 24]) + random.uniform(8, 20, (12, 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)
        masks = load([corners.ravel().tolist()])['gt_masks']
        box = [*corners.min(0), *corners.max(0)]
        (target,) = mask_target(
            [torch.tensor([box], dtype=torch.float32)], [torch.tensor([0])], [masks], ConfigDict(mask_size=28)
        )
        fine = np.zeros((280, 280), np.uint8)
        scaled = (corners - box[:2]) / (np.array(box[2:]) - box[:2]) * 280
        cv2.fillPoly(fine, [np.rint(scaled * 16).astype(np.int32)], 1, shift=4)
        expected = fine.reshape(28, 10, 28, 10).mean((1, 3)) > 0.5
        differing.append((target.numpy() != expected).mean())
    assert np.mean(differing) < 0.03, 'cells on the outline may differ: about 80 of 784 lie on it'


def test_a_head_takes_polygons_of_one_image_and_bitmaps_of_another():
    boxes = torch.tensor([[10.0, 8, 30, 28]])
    targets = mask_target(
        [boxes, boxes],
        [torch.tensor([0])] * 2,
        [load([RECTANGLE])['gt_masks'], load(code_of(RECTANGLE))['gt_masks']],
        ConfigDict(mask_size=28),
    )
    assert targets.shape == (2, 28, 28)
    assert targets.mean() > 0.95


def test_images_without_instances():
    assert len(load()['gt_masks']) == 0


@pytest.mark.parametrize('mask', [{'counts': None, 'size': [HEIGHT, WIDTH]}])
def test_a_damaged_code_is_ignored_as_in_mmdet(mask):
    results = load([RECTANGLE], mask)
    assert results['gt_ignore_flags'].tolist() == [False, True]


def placed(number=4):
    """Parts of all sizes, one without pixels, and what they are in the whole image."""
    rng = np.random.default_rng(0)
    places = [(slice(0, HEIGHT), slice(0, WIDTH)), (slice(9, 30), slice(60, 64)), (slice(47, 48), slice(0, 1))]
    places = [*places, (slice(5, 5), slice(7, 20))][:number]
    parts = [(*place, rng.random([side.stop - side.start for side in place]) > 0.4) for place in places]
    whole = np.zeros((number, HEIGHT, WIDTH), bool)
    for mask, (rows, columns, part) in zip(whole, parts, strict=True):
        mask[rows, columns] = part
    return PlacedMasks(parts, HEIGHT, WIDTH), whole


def test_placed_masks_are_those_of_the_image():
    masks, whole = placed()
    np.testing.assert_array_equal(masks.to_ndarray(), whole)
    assert masks.run_lengths() == encode_masks(whole)
    np.testing.assert_array_equal(masks.areas, whole.sum((1, 2)))
    assert placed(0)[0].to_ndarray().shape == (0, HEIGHT, WIDTH)


@pytest.mark.parametrize('index', [2, slice(1, 3), [3, 0], np.array([True, False, True, False])], ids=str)
def test_placed_masks_are_chosen_as_those_of_mmdet_are(index):
    masks, whole = placed()
    expected = BitmapMasks(whole, HEIGHT, WIDTH)[index]
    np.testing.assert_array_equal(masks[index].to_ndarray(), expected.masks)


def test_instances_of_placed_masks_are_chosen_and_encoded_without_whole_ones():
    masks, whole = placed()
    instances = InstanceData(masks=masks, scores=torch.arange(4))
    chosen = instances[instances.scores != 1]
    assert chosen.masks.run_lengths() == encode_masks(whole[[0, 2, 3]])
    assert 'masks' not in vars(masks)
    assert 'masks' not in vars(chosen.masks)


@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('rescale', [False, True])
def test_the_head_places_the_masks_that_mmdet_pastes(class_agnostic, rescale):
    torch.manual_seed(0)
    options = {'num_convs': 0, 'in_channels': 4, 'conv_out_channels': 4, 'num_classes': 3}
    heads = [kind(**options, class_agnostic=class_agnostic) for kind in (PlacedMaskHead, FCNMaskHead)]
    logits = 4 * torch.nn.functional.interpolate(torch.randn(6, 1 if class_agnostic else 3, 5, 5), (28, 28))
    boxes = torch.tensor(
        [[5.0, 4, 40, 30], [0, 0, 64, 48], [50, 40, 64, 48], [3, 3, 4, 4], [20, 5, 30, 45], [1, 9, 9, 20]]
    )
    meta = {'scale_factor': (0.5, 0.8), 'ori_shape': (60, 128)}
    placed, pasted = (
        head.predict_by_feat(
            [logits.clone()],
            [InstanceData(bboxes=boxes.clone(), labels=torch.tensor([0, 1, 2, 0, 1, 2]), scores=torch.ones(6))],
            [meta],
            ConfigDict(mask_thr_binary=0.5),
            rescale=rescale,
        )[0]
        for head in heads
    )
    assert isinstance(placed.masks, PlacedMasks)
    assert torch.equal(placed.bboxes, pasted.bboxes)
    expected, found = (masks.cpu().numpy() for masks in (pasted.masks, placed.masks))
    assert placed.masks.shape == found.shape == expected.shape
    assert expected.sum() > 1000
    assert (found != expected).sum() <= expected.sum() * 0.0005
    assert placed.masks.run_lengths() == encode_masks(found)
    chosen = placed[placed.labels == 1]
    assert np.array_equal(chosen.masks.to_ndarray(), found[[1, 4]])


def test_a_negative_threshold_gives_the_probabilities_of_mmdet():
    torch.manual_seed(0)
    options = {'num_convs': 0, 'in_channels': 4, 'conv_out_channels': 4, 'num_classes': 3}
    logits, boxes = torch.randn(2, 3, 28, 28), torch.tensor([[5.0, 4, 40, 30], [0, 0, 64, 48]])
    placed, pasted = (
        kind(**options).predict_by_feat(
            [logits],
            [InstanceData(bboxes=boxes.clone(), labels=torch.tensor([0, 2]), scores=torch.ones(2))],
            [{'scale_factor': (0.5, 0.8), 'ori_shape': (60, 128)}],
            ConfigDict(mask_thr_binary=-1),
            rescale=True,
        )[0]
        for kind in (PlacedMaskHead, FCNMaskHead)
    )
    assert pasted.masks.dtype == torch.uint8
    assert torch.equal(placed.masks, pasted.masks)
    assert torch.equal(placed.bboxes, pasted.bboxes)
