import random

import pytest

from projects.building_extraction.preparation.spatial_split import (
    ORDERS,
    Block,
    SplitError,
    _runs,
    choose_val_blocks,
    leave_strip_out,
    morton_code,
    shared_sides,
)


def area(width, height):
    """A full rectangle of blocks with one tile and two buildings of its own each."""
    blocks = [Block(x, y) for x in range(width) for y in range(height)]
    return dict.fromkeys(blocks, 1), {block: {2 * i, 2 * i + 1} for i, block in enumerate(blocks)}


def test_morton_code():
    assert [morton_code(Block(x, y)) for x, y in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (3, 5)]] == [
        0,
        1,
        2,
        3,
        4,
        39,
    ]


@pytest.mark.parametrize(('size', 'share', 'expected_sides'), [((10, 4), 0.2, 4), ((4, 10), 0.2, 4), ((8, 8), 0.25, 8)])
def test_val_is_a_strip_or_corner_of_the_asked_share(size, share, expected_sides):
    num_tiles, seen = area(*size)
    val = choose_val_blocks(num_tiles, seen, seen, share)
    assert len(val) == round(share * len(num_tiles))
    assert shared_sides(num_tiles, val) == expected_sides
    assert val == choose_val_blocks(num_tiles, seen, seen, share)


def test_share_counts_tiles_not_blocks():
    num_tiles, seen = area(10, 1)
    num_tiles[Block(0, 0)] = 11  # of 20: the other nine hold one each
    val = choose_val_blocks(num_tiles, seen, seen, 0.25)
    assert Block(0, 0) not in val
    assert len(val) == 5


def test_a_sparse_corner_is_no_validation_set():
    num_tiles, seen = area(10, 2)
    for block in seen:
        if block.x in (0, 1, 8, 9):
            seen[block] = set()
    val = choose_val_blocks(num_tiles, seen, seen, 0.2)
    share = sum(len(seen[block]) for block in val) / sum(len(buildings) for buildings in seen.values())
    assert 0.15 <= share <= 0.25


def test_runs_count_the_border_as_shared_sides_does():
    num_tiles, _ = area(7, 6)
    generator = random.Random(0)
    for block in generator.sample(sorted(num_tiles), 12):
        del num_tiles[block]
    for key in ORDERS:
        order = sorted(num_tiles, key=key)
        runs = list(_runs(order, num_tiles, 0.3))
        assert len(runs) == len(order)
        for start, end, share, sides in runs:
            assert sides == shared_sides(num_tiles, set(order[start:end]))
            assert share == pytest.approx((end - start) / len(order))
        assert [end - start for start, end, _, _ in runs[:15]] == [9] * 15


def test_impossible_splits():
    one, seen_in_one = area(1, 1)
    with pytest.raises(SplitError, match='all tiles lie in 1 block'):
        choose_val_blocks(one, seen_in_one, seen_in_one, 0.2)
    two, _ = area(2, 1)
    shared = {block: {5} for block in two}
    with pytest.raises(SplitError, match='no cut of the 2 blocks'):
        choose_val_blocks(two, shared, shared, 0.5)
    left_only = {Block(0, 0): {5}, Block(1, 0): set()}
    with pytest.raises(SplitError, match='no cut'):
        choose_val_blocks(two, left_only, left_only, 0.5)


def test_a_building_that_training_sees_without_learning_it_does_not_count_for_validation():
    two, _ = area(2, 1)
    instances = {Block(0, 0): {5}, Block(1, 0): {6}}
    assert choose_val_blocks(two, instances, instances, 0.5) == {Block(0, 0)}
    seen = {Block(0, 0): {5}, Block(1, 0): {5, 6}}
    assert choose_val_blocks(two, instances, seen, 0.5) == {Block(1, 0)}


@pytest.mark.parametrize(
    ('strip', 'test_rows', 'val_row'), [(1, {0, 1}, 2), (2, {2, 3}, 4), (3, {4, 5}, 3), (4, {6, 7}, 5)]
)
def test_each_strip_of_rows_is_left_out_once_with_validation_beside_it(strip, test_rows, val_row):
    num_tiles, _ = area(4, 8)
    test, val = leave_strip_out(num_tiles, strip, 4)
    assert test == {block for block in num_tiles if block.y in test_rows}
    assert val == {block for block in num_tiles if block.y == val_row}


def test_strips_run_across_the_longer_side_and_hold_as_many_tiles():
    num_tiles, _ = area(7, 2)
    num_tiles |= {Block(20, 0): 6}  # dense, behind a gap
    tests = [leave_strip_out(num_tiles, strip, 2)[0] for strip in (1, 2)]
    assert tests[0] == {block for block in num_tiles if block.x < 5}
    assert tests[1] == num_tiles.keys() - tests[0]


@pytest.mark.parametrize(('size', 'num_strips'), [((3, 3), 4), ((2, 2), 2)])
def test_too_few_rows_for_the_strips(size, num_strips):
    num_tiles, _ = area(*size)
    with pytest.raises(SplitError, match=f'do not make {num_strips} strips with validation and training'):
        leave_strip_out(num_tiles, 1, num_strips)
