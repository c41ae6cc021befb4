import numpy as np
import pytest
from pycocotools import mask as coco_masks

from projects.pixels.run_lengths import encode_masks, encode_parts

HEIGHT, WIDTH = 13, 17


def expected(mask):
    code = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': code['size'], 'counts': code['counts'].decode()}


def special():
    masks = np.zeros((9, HEIGHT, WIDTH), bool)
    masks[1] = True
    masks[2, 0, 0] = True
    masks[3, -1, -1] = True
    masks[4, :, 3:6] = True  # whole columns: one run
    masks[5, :, 3] = masks[5, 0, 4] = True
    masks[6, -1, 3] = masks[6, 0, 4] = True  # a run over the end of a column, in a part of all rows
    masks[7, 2:5, -1] = True
    masks[8, ::2, ::2] = True
    return masks


@pytest.mark.parametrize('density', [0.02, 0.5, 0.98])
def test_codes_are_those_of_pycocotools(density):
    masks = np.random.default_rng(0).random((200, HEIGHT, WIDTH)) < density
    masks[:100, :, :5] = masks[:100, :3] = masks[50:150, :, 12:] = False
    assert encode_masks(masks) == [expected(mask) for mask in masks]


def test_codes_of_masks_that_touch_borders_or_are_empty():
    assert encode_masks(special()) == [expected(mask) for mask in special()]
    assert encode_masks(special().astype(np.int64)) == encode_masks(special())


def test_codes_decode_to_the_masks():
    decoded = coco_masks.decode(encode_masks(special()))
    np.testing.assert_array_equal(decoded.transpose(2, 0, 1), special())


def test_codes_of_parts_are_those_of_whole_masks():
    random = np.random.default_rng(0)
    parts, masks = [], []
    for number in range(60):
        top, bottom = sorted(random.integers(0, HEIGHT + 1, 2).tolist())
        left, right = sorted(random.integers(0, WIDTH + 1, 2).tolist())
        if number % 2:  # columns that go on from the lower edge to the upper one
            top, bottom = 0, HEIGHT
        part = random.random((bottom - top, right - left)) < random.choice([0.3, 0.9, 1.0])
        masks.append(np.zeros((HEIGHT, WIDTH), bool))
        masks[-1][top:bottom, left:right] = part
        parts.append((slice(top, bottom), slice(left, right), part))
    assert encode_parts(parts, (HEIGHT, WIDTH)) == [expected(mask) for mask in masks]


def test_codes_of_long_runs():
    masks = np.zeros((2, 1500, 1700), bool)
    masks[0, 700:, 800:1600] = masks[1, 3, 5] = masks[1, 1400, 1690] = True
    assert encode_masks(masks) == [expected(mask) for mask in masks]


def test_no_masks():
    assert encode_masks(np.zeros((0, HEIGHT, WIDTH), bool)) == encode_parts([], (HEIGHT, WIDTH)) == []


def test_runs_longer_than_32_bits_with_a_sign_are_those_of_pycocotools():
    side = 50_000
    place = slice(side - 1, side)
    (code,) = encode_parts([(place, place, np.ones((1, 1), np.uint8))], (side, side))
    runs = {'size': [side, side], 'counts': [side**2 - 1, 1]}
    assert code['counts'] == coco_masks.frPyObjects(runs, side, side)['counts'].decode()
