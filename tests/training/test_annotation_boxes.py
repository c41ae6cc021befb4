"""Boxes that are written otherwise than in COCO, told by their masks and images."""

import json

import numpy as np
import pytest

from projects.training.annotation_findings import CONTRADICTION, OUTSIDE, STICKING_OUT, TINY_BOX, WRONG_AREA
from projects.training.annotations import read_annotations

WIDTH, HEIGHT = 400, 200


def read(tmp_path, write_box, write_mask=lambda ring: [ring.ravel().tolist()], number=60, area=None):
    """Read a file of triangles, whose boxes and masks are written in some way."""
    rng = np.random.default_rng(0)
    annotations = []
    for index in range(number):
        size = rng.uniform(10, 60, 2)
        start = rng.uniform(0, (WIDTH, HEIGHT) - size)
        ring = start + size * [[0, 0], [1, 0], [0, 1]]
        annotations.append(
            {
                'image_id': 1,
                'category_id': 1,
                'bbox': np.asarray(write_box(*start, *size), float).tolist(),
                'segmentation': write_mask(ring),
                'area': area(size.prod() / 2) if area else None,
                'id': index + 1,
            }
        )
    content = {
        'images': [{'id': 1, 'file_name': 'a.jpg', 'width': WIDTH, 'height': HEIGHT}],
        'categories': [{'id': 1, 'name': 'a'}],
        'annotations': annotations,
    }
    (tmp_path / 'a.json').write_text(json.dumps(content))
    return read_annotations(tmp_path / 'a.json', masks=write_mask(np.zeros((3, 2))) is not None)[1]


OTHERWISE = {
    'corners x1, y1, x2, y2': lambda x, y, w, h: (x, y, x + w, y + h),
    'centre x, y': lambda x, y, w, h: (x + w / 2, y + h / 2, w, h),
    'y, x, height, width': lambda x, y, w, h: (y, x, h, w),
    '0.5 times as large': lambda x, y, w, h: (x / 2, y / 2, w / 2, h / 2),
    '2 times as large': lambda x, y, w, h: (x * 2, y * 2, w * 2, h * 2),
}


@pytest.mark.parametrize('cause', OTHERWISE)
def test_boxes_that_contradict_their_masks_name_the_share_and_the_cause(tmp_path, cause):
    findings = read(tmp_path, OTHERWISE[cause])
    kept = findings.num_annotations - findings.counts.get(OUTSIDE, 0)
    assert findings.counts[CONTRADICTION] == kept > 10
    assert findings.causes[CONTRADICTION].startswith('100% of the boxes: ')
    assert cause in findings.causes[CONTRADICTION]


@pytest.mark.parametrize(
    ('area', 'is_wrong'), [(lambda px: px, 0), (lambda px: px / 80_000, 1), (lambda px: px * 9, 1)]
)
def test_areas_in_another_unit_are_named(tmp_path, area, is_wrong):
    findings = read(tmp_path, lambda *box: box, area=area)
    assert (findings.counts.get(WRONG_AREA, 0) > 50) == is_wrong


def test_part_of_the_boxes_may_be_written_otherwise(tmp_path):
    number = iter(range(60))
    findings = read(tmp_path, lambda x, y, w, h: (x, y, x + w, y + h) if next(number) % 4 == 0 else (x, y, w, h))
    assert 0 < findings.counts[CONTRADICTION] <= 15
    assert 'corners' in findings.causes[CONTRADICTION]


def test_good_boxes_are_not_talked_about(tmp_path):
    assert not {CONTRADICTION, STICKING_OUT, TINY_BOX} & read(tmp_path, lambda *box: box).counts.keys()
    loose = read(tmp_path, lambda x, y, w, h: (x - 2, y - 2, w + 4, h + 4))
    assert not {CONTRADICTION, STICKING_OUT, TINY_BOX} & loose.counts.keys()


@pytest.mark.parametrize('cause', ['corners x1, y1, x2, y2', 'larger copy'])
def test_boxes_without_masks_are_compared_with_their_images(tmp_path, cause):
    write_box = {**OTHERWISE, 'larger copy': OTHERWISE['2 times as large']}[cause]
    findings = read(tmp_path, write_box, lambda ring: None)
    assert cause in findings.causes[STICKING_OUT]


def test_coordinates_as_shares_of_the_image_are_refused(tmp_path):
    def shares(x, y, w, h):
        return x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT

    with pytest.raises(ValueError, match=r'all 60 boxes lie between 0 and 1.*Multiply'):
        read(tmp_path, shares)
    with pytest.raises(ValueError, match=r'all masks lie between 0 and 1.*Multiply'):
        read(tmp_path, lambda *box: box, lambda ring: [(ring / (WIDTH, HEIGHT)).ravel().tolist()])
    findings = read(tmp_path, lambda x, y, w, h: shares(x, y, w, h) if x < WIDTH / 2 else (x, y, w, h), lambda _: None)
    assert 'shares of the image' in findings.causes[TINY_BOX]


def test_an_object_of_one_pixel_in_the_corner_is_in_pixels(tmp_path):
    findings = read(tmp_path, lambda *_: (0, 0, 1, 1), lambda _: None, number=1)
    assert not findings.counts.keys() & {TINY_BOX}
