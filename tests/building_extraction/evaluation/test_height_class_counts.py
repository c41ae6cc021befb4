"""Counts per height class: by hand, against a scorer that shares no code, and sums that must match."""

import itertools

import numpy as np
import pytest

from projects.building_extraction.evaluation.height_class_counts import count_image
from projects.building_extraction.evaluation.object_matching import Objects
from projects.building_extraction.height_classes import HeightClasses

CLASSES = HeightClasses((10.0,), ('low', 'high'))  # and unknown
LOW, HIGH, UNKNOWN = range(3)


def count(found, ids, heights_m, masks=None, ignored=None, min_object_px=0, classes=CLASSES):
    found, ids = np.asarray(found, bool), np.asarray(ids)
    ignored = np.zeros(ids.shape, bool) if ignored is None else np.asarray(ignored, bool)
    objects = Objects.of_parts(found & ~ignored) if masks is None else Objects.of_masks(masks, ~ignored)
    ids = np.where(ignored, 0, ids)
    return count_image(objects, ids, np.array([np.nan, *heights_m]), ignored, classes, min_object_px)


def test_counts_by_hand():
    ids = [[1, 1, 0, 0, 0, 0, 2], [1, 1, 0, 0, 0, 0, 2]]
    found = [[1, 1, 1, 0, 0, 1, 1], [1, 0, 1, 0, 0, 1, 0]]
    counts = count(found, ids, [5.0, 50.0])
    # the low one: 3 of 4 pixels and 2 beside it; the high one: 1 of 2 and 2 beside it
    assert counts.pixels.tolist() == [[3, 2, 1], [1, 2, 1], [0, 0, 0]]
    assert counts.background == 4
    # IoU 3/6 is enough, 1/4 is not: a false alarm and a miss
    assert counts.objects.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_a_false_alarm_belongs_to_the_nearest_building():
    ids = np.zeros((1, 12), int)
    ids[0, 0], ids[0, 11] = 1, 2
    found = np.zeros((1, 12), int)
    found[0, [4, 5, 8]] = 1
    counts = count(found, ids, [5.0, 50.0])
    assert counts.pixels.tolist() == [[0, 2, 1], [0, 1, 1], [0, 0, 0]]
    assert counts.objects.tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]


def test_a_false_object_belongs_to_the_class_of_most_of_its_pixels():
    ids = np.zeros((1, 20), int)
    ids[0, 0], ids[0, 19] = 1, 2
    found = np.zeros((1, 20), int)
    found[0, 8:15] = 1  # two pixels nearer to the first, five to the second
    counts = count(found, ids, [5.0, 50.0])
    assert counts.pixels[:, 1].tolist() == [2, 5, 0]
    assert counts.objects[:, 1].tolist() == [0, 1, 0]


@pytest.mark.parametrize('heights_m', [[5.0, 50.0], [50.0, 5.0]])
def test_of_equally_near_buildings_the_lower_class_has_the_false_alarm(heights_m):
    counts = count([[0, 0, 1, 0, 0]], [[1, 0, 0, 0, 2]], heights_m)
    assert counts.pixels[:, 1].tolist() == [1, 0, 0]
    assert count([[0, 0, 1, 0, 0]], [[1, 0, 0, 0, 2]], [np.nan, 50.0]).pixels[:, 1].tolist() == [0, 1, 0]


def test_the_nearest_building_may_be_small_or_diagonal_but_not_ignored():
    ids = np.zeros((6, 6), int)
    ids[0, 0], ids[5, :2], ids[3, 4] = 1, 2, 3
    found = np.zeros((6, 6), int)
    found[2, 3] = 1  # 1.4 px from the third, 3.6 from the first and the second
    assert count(found, ids, [np.nan, 50.0, 5.0], min_object_px=4).pixels[:, 1].tolist() == [1, 0, 0]
    assert count(found, ids, [np.nan, 50.0, 5.0], ignored=ids == 3).pixels[:, 1].tolist() == [0, 1, 0]


def test_images_without_buildings_count():
    counts = count([[1, 1, 0], [0, 0, 0]], np.zeros((2, 3), int), [])
    assert counts.pixels.tolist() == [[0, 0, 0], [0, 0, 0], [0, 2, 0]]
    assert counts.objects.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert counts.background == 4


def test_unknown_heights_are_a_class_of_their_own():
    counts = count([[1, 0]], [[1, 2]], [np.nan, 3.0])
    assert counts.pixels.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_a_building_is_matched_once():
    """BONAI's script counts every pair from IoU 0.5 on: a building that is found twice would be two right ones."""
    ids = np.ones((4, 4), int)
    masks = [np.ones((4, 4), bool), np.ones((4, 4), bool)]
    masks[1][0, 0] = False
    counts = count(np.ones((4, 4)), ids, [5.0], masks)
    assert counts.objects[LOW].tolist() == [1, 1, 0]


def test_the_better_pair_is_matched_first():
    ids = np.array([[1] * 10 + [2] * 10])
    good, poor = np.zeros((2, 1, 20), bool)
    good[0, :10] = True
    poor[0, :6] = True  # IoU 0.6 with the first building, none with the second
    for masks in ([poor, good], [good, poor]):
        assert count(good | poor, ids, [5.0, 50.0], masks).objects.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(('num_found', 'right'), [(5, 1), (4, 0)])
def test_an_iou_of_exactly_one_half_is_enough(num_found, right):
    ids, found = np.ones((1, 10), int), np.zeros((1, 10), int)
    found[0, :num_found] = 1
    assert count(found, ids, [5.0]).objects[LOW].tolist() == [right, 1 - right, 1 - right]


def test_ignored_pixels_leave_everything():
    ids = np.array([[1, 1, 1, 0, 0, 2]])
    found = np.array([[1, 1, 0, 0, 1, 1]])
    ignored = np.array([[0, 0, 1, 0, 1, 1]])
    counts = count(found, ids, [5.0, 50.0], ignored=ignored)
    assert counts.pixels.tolist() == [[2, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert counts.objects.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert counts.background == 1


def test_small_objects_are_left_out_on_both_sides():
    ids = np.array([[1, 0, 0, 2, 2, 2]])
    found = np.array([[0, 1, 0, 1, 1, 1]])
    assert count(found, ids, [5.0, 5.0], min_object_px=2).objects[LOW].tolist() == [1, 0, 0]
    assert count(found, ids, [5.0, 5.0]).objects[LOW].tolist() == [1, 1, 1]


def test_what_matches_a_small_building_is_neither_right_nor_wrong():
    ids, found = np.array([[1, 1, 1, 0, 2, 2]]), np.array([[1, 1, 1, 1, 0, 1]])
    assert count(found, ids, [5.0, 5.0]).objects[LOW].tolist() == [2, 0, 0]
    assert count(found, ids, [5.0, 5.0], min_object_px=3).objects[LOW].tolist() == [1, 0, 0]
    assert count(found, ids, [5.0, 5.0], min_object_px=4).objects[LOW].tolist() == [0, 0, 0]


def test_a_small_object_that_matches_a_building_is_right():
    assert count([[1, 1, 1, 0]], [[1, 1, 1, 1]], [5.0], min_object_px=4).objects[LOW].tolist() == [1, 0, 0]


def test_pixels_that_several_objects_share_are_counted_once():
    masks = np.zeros((2, 1, 6), bool)
    masks[0, 0, :4], masks[1, 0, 2:] = True, True
    counts = count(masks.any(0), np.array([[1, 1, 1, 1, 0, 0]]), [5.0], masks)
    assert counts.pixels[LOW].tolist() == [4, 2, 0]
    assert counts.objects[LOW].tolist() == [1, 1, 0]


def brute_force(found, ids, heights_m, ignored):
    """The same by loops over pixels and over all assignments of objects."""
    classes = [
        UNKNOWN if number == 0 or np.isnan(heights_m[number - 1]) else int(heights_m[number - 1] >= 10)
        for number in range(len(heights_m) + 1)
    ]
    pixels, objects = np.zeros((3, 3), int), np.zeros((3, 3), int)
    places = [place for place in itertools.product(*map(range, ids.shape)) if not ignored[place]]
    buildings = [place for place in places if ids[place]]

    def candidates(place):
        if ids[place] or not buildings:
            return {classes[ids[place]]}
        squares = [(place[0] - row) ** 2 + (place[1] - column) ** 2 for row, column in buildings]
        return {classes[ids[b]] for b, square in zip(buildings, squares, strict=True) if square == min(squares)}

    class_at = {place: min(candidates(place)) for place in places}
    for place in places:
        if found[place] and ids[place]:
            pixels[classes[ids[place]], 0] += 1
        elif found[place]:
            pixels[class_at[place], 1] += 1
        elif ids[place]:
            pixels[classes[ids[place]], 2] += 1

    parts = []
    rest = {place for place in places if found[place]}
    while rest:
        part, border = set(), [rest.pop()]
        while border:
            row, column = border.pop()
            part.add((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & rest
            rest -= near
            border += near
        parts.append(part)
    numbers = sorted({ids[place] for place in buildings})
    outlines = {number: {place for place in buildings if ids[place] == number} for number in numbers}
    right = {}
    for index, part in enumerate(parts):
        for number, outline in outlines.items():
            if 2 * len(part & outline) > len(part | outline):  # beyond one half the pair is the only one
                right[index] = number
    for index, part in enumerate(parts):
        if index in right:
            objects[classes[right[index]], 0] += 1
        else:
            votes = [sum(class_at[place] == c for place in part) for c in range(3)]
            objects[int(np.argmax(votes)), 1] += 1
    for number in numbers:
        if number not in right.values():
            objects[classes[number], 2] += 1
    exactly_half = any(2 * len(p & o) == len(p | o) for p in parts for o in outlines.values())
    return pixels, objects, exactly_half


def random_image(seed):
    random = np.random.default_rng(seed)
    ids = np.zeros((11, 13), int)
    heights_m = random.choice([3.0, 30.0, np.nan], 4)
    for number in range(1, 5):
        row, column = random.integers(0, 9, 2)
        ids[row : row + random.integers(1, 4), column : column + random.integers(1, 4)] = number
    found = np.roll(ids > 0, random.integers(-1, 2, 2), (0, 1)) ^ (random.random(ids.shape) < 0.05)
    return found, ids, heights_m, random.random(ids.shape) < 0.05


def test_an_independent_scorer_agrees():
    compared = 0
    for seed in range(150):
        found, ids, heights_m, ignored = random_image(seed)
        counts = count(found, ids, heights_m, ignored=ignored)
        pixels, objects, exactly_half = brute_force(found, ids, heights_m, ignored)
        assert counts.pixels.tolist() == pixels.tolist()
        if not exactly_half:  # where the choice of pairs is the matching's
            compared += 1
            assert counts.objects.tolist() == objects.tolist()
    assert compared > 100


def test_the_classes_sum_to_the_whole_and_every_pixel_is_counted_once():
    for seed in range(60):
        found, ids, heights_m, ignored = random_image(1000 + seed)
        counts = count(found, ids, heights_m, ignored=ignored)
        valid = ~ignored
        assert counts.pixels.sum(0).tolist() == [
            int((found & (ids > 0) & valid).sum()),
            int((found & (ids == 0) & valid).sum()),
            int((~found & (ids > 0) & valid).sum()),
        ]
        assert counts.pixels.sum() + counts.background == valid.sum()
        whole = count(found, ids, np.full(4, 3.0), ignored=ignored, classes=HeightClasses((), ('all',)))
        assert counts.objects.sum(0).tolist() == whole.objects.sum(0).tolist()


def test_the_classes_of_overlapping_objects_sum_to_the_whole():
    for seed in range(60):
        _, ids, heights_m, ignored = random_image(2000 + seed)
        masks = [random_image(3000 + 7 * seed + index)[0] for index in range(5)]
        counts, whole = (
            count(np.any(masks, 0), ids, heights, masks, ignored, min_object_px=3, classes=classes)
            for heights, classes in ((heights_m, CLASSES), (np.full(4, 3.0), HeightClasses((), ('all',))))
        )
        assert counts.pixels.sum(0).tolist() == whole.pixels.sum(0).tolist()
        assert counts.objects.sum(0).tolist() == whole.objects.sum(0).tolist()
        assert counts.pixels.sum() + counts.background == (~ignored).sum()
