"""Whatever is done to an image, each offset still leads from its building's footprint to its roof.

Every roof and every footprint is a block of pixels of its own number: where they are afterwards, the image itself says.
"""

import math
from itertools import product

import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import TRANSFORMS, init_default_scope

from projects.building_extraction import roof_offsets  # noqa: F401 (registers)

HEIGHT, WIDTH, BLOCK = 60, 90, 4
# left and top of a roof, offset from its footprint, height
BUILDINGS = [
    ((10, 10), (6, -6), 8.0),
    ((40, 6), (-8, 0), 21.5),
    ((70, 30), (0, 12), math.nan),
    ((24, 44), (10, 4), 3.0),
    ((50, 40), (-6, -10), 150.0),
]


@pytest.fixture(autouse=True)
def _mmdet_scope():
    init_default_scope('mmdet')


def sample(unknown=()):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    instances = []
    for number, ((left, top), (dx, dy), height_m) in enumerate(BUILDINGS, start=1):
        image[top : top + BLOCK, left : left + BLOCK, 0] = number
        image[top - dy : top - dy + BLOCK, left - dx : left - dx + BLOCK, 1] = number
        x, y = (min(left, left - dx), max(left, left - dx) + BLOCK), (min(top, top - dy), max(top, top - dy) + BLOCK)
        ring = [left, top, left + BLOCK, top, left + BLOCK, top + BLOCK, left, top + BLOCK]
        instance = {'bbox': [x[0], y[0], x[1], y[1]], 'bbox_label': 0, 'ignore_flag': 0, 'mask': [ring]}
        offset = (math.nan, math.nan) if number in unknown else (dx, dy)
        instances.append(instance | {'offset': offset, 'height_m': height_m})
    results = {'img': image, 'img_shape': (HEIGHT, WIDTH), 'ori_shape': (HEIGHT, WIDTH), 'instances': instances}
    return TRANSFORMS.build({'type': 'LoadRoofs', 'with_bbox': True, 'with_mask': True})(results)


def numbers(results):
    """Of the buildings in the rows of a sample: the pixels under their masks."""
    roofs = results['img'][..., 0]
    found = [set(roofs[mask.astype(bool)].tolist()) for mask in results['gt_masks'].masks]
    assert all(len(one) == 1 for one in found)
    return [one.pop() for one in found]


def middle(channel, number):
    rows, columns = np.nonzero(channel == number)
    return np.array([columns.mean(), rows.mean()])


def check(results, scale=1.0):
    """Every row has the number, offset, height and box that the pixels say; scale is that of the image."""
    for row, number in enumerate(numbers(results)):
        roof, footprint = (results['img'][..., channel] == number for channel in (0, 1))
        dx, dy = results['gt_offsets'][row]
        if roof.sum() == footprint.sum() == (BLOCK * scale) ** 2:  # both whole
            measured = middle(results['img'][..., 0], number) - middle(results['img'][..., 1], number)
            np.testing.assert_allclose((dx, dy), measured, atol=1e-4)
            rows, columns = np.nonzero(roof | footprint)
            extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(results['gt_bboxes'].tensor[row].numpy(), extent, atol=1e-4)
        assert math.hypot(dx, dy) == pytest.approx(scale * math.hypot(*BUILDINGS[number - 1][1]), abs=1e-4)
        np.testing.assert_equal(float(results['gt_heights_m'][row]), BUILDINGS[number - 1][2])
    rows = {len(results[key]) for key in ('gt_offsets', 'gt_heights_m', 'gt_bboxes', 'gt_masks', 'gt_bboxes_labels')}
    assert rows == {len(results['gt_ignore_flags'])}
    assert 'gt_instances_ids' not in results


def test_what_is_loaded():
    results = sample(unknown=(2,))
    np.testing.assert_array_equal(results['gt_offsets'], [[6, -6], [np.nan] * 2, [0, 12], [10, 4], [-6, -10]])
    np.testing.assert_array_equal(results['gt_heights_m'], np.float32([8, 21.5, np.nan, 3, 150]))
    assert results['gt_offsets'].dtype == results['gt_heights_m'].dtype == np.float32
    check(sample())
    empty = TRANSFORMS.build({'type': 'LoadRoofs', 'with_bbox': True})({'instances': []})
    assert (empty['gt_offsets'].shape, empty['gt_heights_m'].shape) == ((0, 2), (0,))


def test_resize():
    resize = {'type': 'ResizeRoofs', 'interpolation': 'nearest'}
    results = TRANSFORMS.build({**resize, 'scale': (2 * WIDTH, 2 * HEIGHT), 'keep_ratio': True})(sample())
    check(results, 2)
    stretched = TRANSFORMS.build({**resize, 'scale': (3 * WIDTH, HEIGHT // 2)})(sample(unknown=(2,)))
    expected = [[18, -3], [np.nan] * 2, [0, 6], [30, 2], [-18, -5]]
    np.testing.assert_allclose(stretched['gt_offsets'], expected, rtol=1e-6)
    np.testing.assert_array_equal(stretched['gt_heights_m'], np.float32([8, 21.5, np.nan, 3, 150]))


@pytest.mark.parametrize(
    ('direction', 'signs'), [('horizontal', (-1, 1)), ('vertical', (1, -1)), ('diagonal', (-1, -1))]
)
def test_flip(direction, signs):
    results = TRANSFORMS.build({'type': 'RandomFlipRoofs', 'prob': 1.0, 'direction': direction})(sample())
    check(results)
    np.testing.assert_array_equal(results['gt_offsets'], [np.multiply(offset, signs) for _, offset, _ in BUILDINGS])
    kept = TRANSFORMS.build({'type': 'RandomFlipRoofs', 'prob': 0.0})(sample())
    check(kept)
    assert not kept['flip']


@pytest.mark.parametrize(('quarters', 'turned'), [(0, (6, -6)), (1, (-6, -6)), (2, (-6, 6)), (3, (6, 6))])
def test_turn(quarters, turned):
    turn = TRANSFORMS.build({'type': 'RandomTurnRoofs'})
    turn._quarters = lambda: quarters
    results = turn(sample())
    check(results)
    np.testing.assert_array_equal(results['gt_offsets'][0], turned)  # counterclockwise: right is up, then
    assert results['img_shape'] == results['img'].shape[:2] == results['gt_masks'].masks.shape[1:]
    np.testing.assert_array_equal(results['img'], np.rot90(sample()['img'], quarters))


def test_all_turns_are_drawn():
    turn = TRANSFORMS.build({'type': 'RandomTurnRoofs'})
    np.random.seed(0)
    assert {turn._quarters() for _ in range(50)} == {0, 1, 2, 3}


@pytest.mark.parametrize('seed', range(8))
def test_a_crop_keeps_the_same_rows_of_everything(seed):
    np.random.seed(seed)
    results = TRANSFORMS.build({'type': 'RandomCropRoofs', 'crop_size': (36, 36)})(sample())
    if results is None:
        return
    whole = [index for index, mask in enumerate(results['gt_masks'].masks) if mask.any()]
    assert len(whole) < len(BUILDINGS)
    seen = {key: results[key] for key in ('img', 'gt_bboxes_labels')}
    for key in ('gt_offsets', 'gt_heights_m', 'gt_bboxes', 'gt_masks', 'gt_bboxes_labels', 'gt_ignore_flags'):
        assert len(results[key]) == len(results['gt_offsets'])
        seen[key] = results[key][np.array(whole, int)]
    check(seen)


def test_a_crop_without_buildings_is_refused():
    crop = TRANSFORMS.build({'type': 'RandomCropRoofs', 'crop_size': (4, 4)})
    crop._rand_offset = lambda margin: (0, 0)
    assert crop(sample()) is None


@pytest.mark.parametrize(('flip', 'seed'), product([0.0, 1.0], range(4)))
def test_one_after_another(flip, seed):
    np.random.seed(seed)
    results = sample()
    for transform in (
        {'type': 'ResizeRoofs', 'scale': (2 * WIDTH, 2 * HEIGHT), 'keep_ratio': True, 'interpolation': 'nearest'},
        {'type': 'RandomFlipRoofs', 'prob': flip},
        {'type': 'RandomTurnRoofs'},
        {'type': 'RandomFlipRoofs', 'prob': flip, 'direction': 'vertical'},
    ):
        results = TRANSFORMS.build(transform)(results)
    check(results, 2)
    # the matrix of all of them leads from the old places to the new
    for number in numbers(results):
        (left, top), _, _ = BUILDINGS[number - 1]
        x, y, _ = results['homography_matrix'] @ [left + BLOCK / 2, top + BLOCK / 2, 1]
        np.testing.assert_allclose((x - 0.5, y - 0.5), middle(results['img'][..., 0], number), atol=1e-4)


def test_packing():
    results = sample(unknown=(2,))
    results['gt_ignore_flags'][3] = True
    masks = results['gt_masks'].masks.copy()
    masks[4] = 0  # only its facade is left
    results['gt_masks'] = BitmapMasks(masks, HEIGHT, WIDTH)
    packed = TRANSFORMS.build({'type': 'PackRoofs', 'meta_keys': ('img_shape',)})(results)['data_samples']
    np.testing.assert_array_equal(packed.gt_instances.offsets.numpy(), [[6, -6], [np.nan] * 2, [0, 12]])
    np.testing.assert_array_equal(packed.gt_instances.heights_m.numpy(), np.float32([8, 21.5, np.nan]))
    np.testing.assert_array_equal(packed.ignored_instances.offsets.numpy(), [[10, 4], [-6, -10]])
    assert len(packed.gt_instances) == 3
