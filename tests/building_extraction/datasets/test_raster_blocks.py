import numpy as np
import pytest

from projects.building_extraction.datasets.raster_blocks import BlockSettings, split_grid

TILE_M = 100.0


def grid(columns, rows):
    cells = np.array([(column, row) for row in range(rows) for column in range(columns)])
    return cells, [{index} for index in range(len(cells))]


def least_gap(cells, parts, one, other):
    """Tiles between two parts; -1 if there is none of one of them."""
    distance = np.abs(cells[parts == one][:, None] - cells[parts == other][None]).max(axis=2)
    return distance.min() - 1 if distance.size else np.inf


PAIRS = (('train', 'val'), ('train', 'test'), ('val', 'test'))


@pytest.mark.parametrize(('margin_m', 'gap'), [(0, 1), (100, 1), (101, 2), (250, 3)])
def test_tiles_of_different_parts_never_touch_and_keep_the_margin(margin_m, gap):
    cells, buildings = grid(24, 18)
    split = split_grid(cells, buildings, TILE_M, BlockSettings(margin_m=margin_m))
    for one, other in PAIRS:
        assert least_gap(cells, split.parts, one, other) >= gap
    assert sum(split.counts().values()) == len(cells)


def test_shares_are_near_those_wanted_and_the_result_repeats():
    cells, buildings = grid(40, 40)
    settings = BlockSettings(0.2, 0.1)
    split = split_grid(cells, buildings, TILE_M, settings)
    counts = split.counts()
    kept = len(cells) - counts['dropped']
    assert counts['val'] / kept == pytest.approx(0.2, abs=0.07)
    assert counts['test'] / kept == pytest.approx(0.1, abs=0.05)
    np.testing.assert_array_equal(split_grid(cells, buildings, TILE_M, settings).parts, split.parts)


def test_a_block_is_in_one_part_but_for_its_border():
    cells, buildings = grid(24, 24)
    split = split_grid(cells, buildings, TILE_M, BlockSettings(block_m=590))
    assert split.block_tiles == 6
    for block in np.unique(cells // 6, axis=0):
        own = split.parts[(cells // 6 == block).all(axis=1)]
        assert len(set(own) - {'dropped'}) <= 1


def test_no_building_is_seen_in_two_parts():
    cells, buildings = grid(20, 10)
    long = {10_000}
    buildings = [seen | (long if row == 5 else set()) for seen, (_, row) in zip(buildings, cells.tolist(), strict=True)]
    parts = split_grid(cells, buildings, TILE_M, BlockSettings()).parts
    seen = {part: set().union(*(buildings[i] for i in np.flatnonzero(parts == part))) for part in set(parts)}
    for one, other in PAIRS:
        assert not seen[one] & seen[other]
        assert seen[one]


def test_every_part_holds_a_building_where_they_are_few():
    cells, _ = grid(30, 30)
    buildings = [{i} if i % 211 == 5 else set() for i in range(len(cells))]
    parts = split_grid(cells, buildings, TILE_M, BlockSettings()).parts
    for part in ('train', 'val', 'test'):
        assert any(buildings[i] for i in np.flatnonzero(parts == part))


def test_a_share_of_zero_makes_no_such_part():
    cells, buildings = grid(12, 12)
    assert set(split_grid(cells, buildings, TILE_M, BlockSettings(0.2, 0)).parts) == {'train', 'val', 'dropped'}
    assert set(split_grid(cells, buildings, TILE_M, BlockSettings(0, 0)).parts) == {'train'}


def test_an_area_that_cannot_be_split_says_what_to_change():
    cells, buildings = grid(2, 2)
    with pytest.raises(ValueError, match=r'each part holds a building.*--tile-px, --block-m, --margin-m'):
        split_grid(cells, buildings, TILE_M, BlockSettings())
    for bad in ({'val_share': 0.6, 'test_share': 0.4}, {'block_m': 0}, {'margin_m': -1}):
        with pytest.raises(ValueError, match=' = '):
            BlockSettings(**bad)
