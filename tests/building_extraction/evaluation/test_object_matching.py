"""Matching of objects with labelled buildings: by hand, and against scipy's assignment of dense IoU tables."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from projects.building_extraction.evaluation.object_matching import Objects, connected_parts, match


def spans(*spans, width=24):
    """Masks (N, 1, width) of half-open spans."""
    masks = np.zeros((len(spans), 1, width), bool)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[0, start:stop] = True
    return masks


def matched(found, labeled):
    """Ids matched with spans found; labelled spans have the ids 1, 2, …"""
    masks, ids = spans(*found), (spans(*labeled) * np.arange(1, len(labeled) + 1)[:, None, None]).sum(0)
    return match(Objects.of_masks(masks, np.ones(ids.shape, bool)), ids, len(labeled) + 1).tolist()


def test_pixels_that_touch_by_a_corner_are_one_object():
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1]], bool)
    assert connected_parts(mask).tolist() == [[1, 0, 0, 2], [0, 1, 0, 2]]
    assert Objects.of_parts(mask).number == 2


def test_objects_may_share_pixels():
    objects = Objects.of_masks(spans((0, 3), (2, 4), width=5), np.array([[1, 1, 1, 0, 1]], bool))
    assert objects.positions.tolist() == [0, 1, 2, 2]
    assert objects.owners.tolist() == [0, 0, 0, 1]
    assert objects.mask((1, 5)).tolist() == [[True, True, True, False, False]]


def test_the_table_counts_pixels_by_object_and_value():
    objects = Objects.of_masks(spans((0, 3), (2, 4), (0, 0), width=5), np.ones((1, 5), bool))
    assert objects.table(np.array([[0, 2, 2, 1, 1]]), 3).toarray().tolist() == [[1, 0, 2], [0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(('stop', 'expected'), [(10, 1), (6, 1), (5, 1), (4, 0), (20, 1), (21, 0)])
def test_an_iou_of_one_half_is_the_least_that_fits(stop, expected):
    assert matched([(0, stop)], [(0, 10)]) == [expected]


def test_the_union_is_not_one_pixel_too_large():
    assert matched([(0, 1)], [(0, 2)]) == [1]  # BONAI's inter / (union + 1) would be 1/3


def test_of_several_that_fit_one_counts_and_the_first_is_preferred():
    assert matched([(0, 9), (0, 10), (1, 10)], [(0, 10)]) == [1, 0, 0]


def test_one_object_counts_for_one_of_the_two_buildings_that_it_fills():
    assert matched([(0, 10)], [(0, 5), (5, 10)]) == [1]


def test_of_equal_ious_of_one_half_those_are_chosen_that_leave_the_most_pairs():
    assert matched([(0, 10), (0, 5)], [(0, 5), (5, 10)]) == [2, 1]
    assert matched([(0, 5), (0, 10)], [(0, 5), (5, 10)]) == [1, 2]


def test_the_background_is_no_building():
    everywhere = Objects.of_masks(spans((0, 20), width=20), np.ones((1, 20), bool))
    assert match(everywhere, np.repeat([[1, 0]], 10, axis=1), 2).tolist() == [1]
    assert match(everywhere, np.repeat([[0, 1]], [11, 9], axis=1), 2).tolist() == [0]


def test_nothing_matches_nothing():
    assert matched([], []) == []
    assert matched([(3, 5)], []) == [0]
    assert matched([(0, 0)], [(0, 5)]) == [0]
    assert matched([], [(0, 5)]) == []


def test_as_many_pairs_are_found_as_by_assignment():
    random = np.random.default_rng(0)
    pairs = 0
    for _ in range(200):
        borders = np.sort(random.choice(25, 8, replace=False)).reshape(-1, 2)
        chosen = borders[random.integers(0, 4, 6)] + random.integers(-2, 3, (6, 2))
        found = [(max(start, 0), max(stop, start, 0)) for start, stop in chosen.tolist()]
        labeled, masks = spans(*borders.tolist(), width=30), spans(*found, width=30)
        shared = (masks & labeled[:, None]).sum((2, 3)).T
        fits = 2 * shared >= (masks | labeled[:, None]).sum((2, 3)).T
        rows, columns = linear_sum_assignment(fits, maximize=True)
        ids = (labeled * np.arange(1, 5)[:, None, None]).sum(0)
        result = match(Objects.of_masks(masks, np.ones(ids.shape, bool)), ids, 5)
        hits = result[result > 0]
        assert len(hits) == len(set(hits.tolist())) == fits[rows, columns].sum()
        assert fits[np.flatnonzero(result), hits - 1].all()
        pairs += len(hits)
    assert pairs > 300
