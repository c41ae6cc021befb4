from dataclasses import replace

import numpy as np
import pytest

from projects.deployment.prediction.coco_results import paste_masks
from projects.deployment.prediction.drawing import MIN_SIDE_PX, PANEL, draw_detections, draw_segmentation
from projects.deployment.predictions import Detections

CLASSES, PALETTE = ('background', 'roof', 'tree'), ((0, 0, 0), (200, 0, 0), (0, 100, 0))
GRAY = 100


def image(height=700, width=800):
    return np.full((height, width, 3), GRAY, dtype=np.uint8)


def test_classes_tint_half_and_background_not_at_all():
    labels = np.zeros((700, 800), dtype=np.uint8)
    labels[100:300, 100:300] = 1
    labels[400:600, 100:300] = 2
    picture = draw_segmentation(image(), labels, CLASSES, PALETTE)
    assert picture[50, 50].tolist() == [GRAY] * 3
    assert picture[200, 200].tolist() == [150, 50, 50]
    assert picture[500, 200].tolist() == [50, 100, 50]
    assert picture[100, 200].tolist() == [200, 0, 0]  # its outline


def test_the_legend_stands_beside_the_image_and_names_what_is_there():
    labels = np.zeros((700, 800), dtype=np.uint8)
    labels[:, 400:] = 2
    panel = draw_segmentation(image(), labels, CLASSES, PALETTE)[:, 800:]
    assert panel[-1, -1].tolist() == list(PANEL)
    colors = {tuple(color) for color in panel.reshape(-1, 3).tolist()}
    assert (0, 100, 0) in colors
    assert (200, 0, 0) not in colors


def test_pictures_of_a_video_are_of_one_size():
    shapes = {draw_segmentation(image(), np.full((700, 800), label), CLASSES, PALETTE).shape for label in range(3)}
    assert len(shapes) == 1


def test_a_legend_without_room_says_how_many_are_missing():
    classes = tuple(f'class {index}' for index in range(200))
    palette = tuple((index, index, index) for index in range(200))
    labels = np.arange(200 * 200).reshape(200, 200) % 200
    picture = draw_segmentation(image(200, 200), labels, classes, palette)
    assert picture.shape[0] == 800


def test_labels_beyond_the_classes_are_left_as_they_are():
    picture = draw_segmentation(image(), np.full((700, 800), 255, dtype=np.uint8), CLASSES, PALETTE)
    assert (picture[:, :800] == GRAY).all()


def instance(boxes, scores, labels=None):
    boxes = np.array(boxes, dtype=np.float32)
    labels = np.zeros(len(boxes), dtype=np.int64) if labels is None else np.array(labels)
    return Detections(boxes, np.array(scores, np.float32), labels, np.ones((len(boxes), 28, 28), np.float32))


def draw(found, size=(700, 800), classes=('roof', 'tree'), palette=((200, 0, 0), (0, 100, 0))):
    return draw_detections(image(*size), found, paste_masks(found, size, 0.5), classes, palette)


def test_masks_tint_inside_and_leave_the_rest():
    picture = draw(instance([[200, 200, 400, 400]], [0.9]))
    assert picture[300, 300].tolist() == [140, 60, 60]  # 0.6 of the image, 0.4 of the colour
    assert (picture[:, 500:] == GRAY).all()
    assert (picture[450:] == GRAY).all()
    assert (image() == GRAY).all()


def test_the_better_score_is_drawn_on_top():
    picture = draw(instance([[100, 100, 300, 300], [100, 100, 300, 300]], [0.9, 0.4], [1, 0]))
    np.testing.assert_allclose(picture[100, 200], [0, 100, 0], atol=5)
    assert picture[200, 200, 1] == 76  # 0.6 (0.6 100 + 0.4 0) + 0.4 100: the tree is the last


@pytest.mark.parametrize('size', [(700, 800), (70, 80)])
def test_a_roof_with_an_offset_has_a_white_outline_where_it_stands(size):
    unit = size[0] / 700
    found = instance(np.multiply([[200, 200, 400, 400], [-90, -90, -50, -50]], unit), [0.9, 0.8])
    leaning = replace(found, offsets=np.multiply([[100, -150], [1, 1]], unit), heights_m=np.array([9, 9.0]))
    picture, plain = draw(leaning, size), draw(found, size)
    enlarged = picture.shape[0] / 700
    row, column, inside = (round(place * enlarged) for place in (450, 100, 200))  # of the left edge, at 200 - 100
    assert (picture[row, column - 4 : column + 5] > 200).all(axis=1).any()
    assert (plain[row, column - 4 : column + 5] == GRAY).all()
    assert (picture[row, inside] == GRAY).all()


def test_small_images_are_enlarged_to_have_room_for_names():
    assert draw(instance([[5, 5, 30, 30]], [0.9]), (60, 80)).shape == (480, 640, 3)
    assert draw(instance([[5, 5, 30, 30]], [0.9]), (MIN_SIDE_PX, 10)).shape == (MIN_SIDE_PX, 10, 3)


def test_an_image_without_detections_is_itself():
    found = instance(np.zeros((0, 4)), [])
    np.testing.assert_array_equal(draw(found), image())


@pytest.mark.parametrize('box', [[-20, -20, 30, 30], [780, 690, 900, 900], [10, 10, 10, 10], [-50, -50, -10, -10]])
def test_boxes_beyond_the_image_and_empty_ones_are_survived(box):
    assert draw(instance([box], [0.9])).shape == (700, 800, 3)


def test_names_do_not_cover_one_another():
    one = draw(instance([[300, 300, 340, 340]], [0.9]))
    many = draw(instance([[300, 300, 340, 340]] * 20, np.linspace(0.9, 0.5, 20)))
    names_of_one, names_of_many = ((picture[:, 345:] != GRAY).any(axis=2).sum() for picture in (one, many))
    assert names_of_many <= 3 * names_of_one
