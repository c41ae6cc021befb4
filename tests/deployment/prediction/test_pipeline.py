"""What is read ahead, predicted in batches and finished, whatever it is."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from projects.deployment.prediction.pipeline import Loaded, read_ahead, through_network

IMAGE = np.zeros((4, 4, 3), np.uint8)


def test_reading_stays_a_few_items_ahead_and_hands_its_error_over():
    made = []

    def make(number):
        made.append(number)
        if number == 50:
            raise KeyError('broken')
        return number

    with ThreadPoolExecutor(1) as pool:
        taken = read_ahead(pool, make, range(100), 2)
        for expected in range(20):
            assert next(taken) == expected
            assert len(made) <= expected + 5
        with pytest.raises(KeyError, match='broken'):
            list(taken)
        early = read_ahead(pool, make, range(10), 2)
        next(early)
        early.close()


def flow(items, network, **options):
    """Items are (group, whether there is anything to predict); returns numbers with their results."""
    done = through_network(
        network,
        list(enumerate(items)),
        lambda one: Loaded(one[0], IMAGE + one[0] if one[1][1] else None, one[1][0]),
        lambda loaded, result: (loaded.item, None if result is None else int(result[0, 0, 0])),
        batch_size=3,
        in_order=True,
        **options,
    )
    return list(done)


def test_batches_in_order_hold_one_group_and_pass_by_what_is_not_predicted():
    sizes = []

    def network(images):
        sizes.append(len(images))
        return list(images)

    items = [('a', True), ('a', False), ('a', True), ('b', False), ('b', False), *[('c', True)] * 4]
    found = flow(items, network)
    assert found == [(0, 0), (1, None), (2, 2), (3, None), (4, None), (5, 5), (6, 6), (7, 7), (8, 8)]
    assert sizes == [2, 3, 1]
    sizes.clear()
    assert flow(items, network, is_fixed=True) == found
    assert sizes == [3, 3, 3]


def test_what_was_predicted_is_finished_before_an_error_is_raised():
    finished, closed = [], []

    def network(images):
        if images.max() >= 4:
            raise RuntimeError('out of memory')
        return list(images)

    done = through_network(
        network,
        range(9),
        lambda number: Loaded(number, IMAGE + number),
        lambda loaded, _: finished.append(loaded.item),
        batch_size=2,
        in_order=True,
        close=lambda: closed.append(finished[:]),
    )
    with pytest.raises(RuntimeError, match='out of memory'):
        list(done)
    assert finished == [0, 1, 2, 3]
    assert closed == [finished]
