import numpy as np
import pytest

from projects.building_extraction.preparation.raster_blocks import BlockSettings, split_grid

TILE_M = 100.0


def grid(columns, rows):
    cells = np.array([(column, row) for row in range(rows) for column in range(columns)])
    return cells, [{index: 100} for index in range(len(cells))]


def least_gap(cells, parts, one, other):
    """Tiles between two parts; -1 if there is none of one of them."""
    distance = np.abs(cells[parts == one][:, None] - cells[parts == other][None]).max(axis=2)
    return distance.min() - 1 if distance.size else np.inf


PAIRS = (('train', 'val'), ('train', 'test'), ('val', 'test'))


@pytest.mark.parametrize(('margin_m', 'gap'), [(0, 0), (100, 1), (101, 2), (250, 3)])
def test_tiles_of_different_parts_keep_the_margin(margin_m, gap):
    cells, buildings = grid(24, 18)
    split = split_grid(cells, buildings, TILE_M, BlockSettings(margin_m=margin_m))
    for one, other in PAIRS:
        assert least_gap(cells, split.parts, one, other) >= gap
    assert sum(split.counts().values()) == len(cells)
    assert (split.counts()['dropped'] == 0) == (margin_m == 0)


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


def test_no_building_is_learnt_or_scored_in_two_parts():
    """One as long as the area, and one across each side and corner of tiles."""
    cells, _ = grid(20, 10)
    buildings = []
    for column, row in cells.tolist():
        across = {(column + right, row + down): 10 + down for right in (0, 1) for down in (0, 1)}
        buildings.append({(column, row, 'own'): 50} | across | ({'long': 30} if row == 5 else {}))
    split = split_grid(cells, buildings, TILE_M, BlockSettings())
    owned = {part: set() for part in ('train', 'val', 'test')}
    for part, seen, ignored in zip(split.parts, buildings, split.ignored, strict=True):
        owned[part] |= seen.keys() - ignored
        assert not any('own' in building for building in ignored)
    assert sum(map(len, owned.values())) == len(set().union(*buildings))
    assert split.counts()['dropped'] == 0
    assert 'long' in owned['train']


@pytest.mark.parametrize(('first_px', 'second_px'), [(30, 31), (31, 30)])
def test_a_building_belongs_to_the_part_that_sees_most_of_it(first_px, second_px):
    cells, buildings = np.array([(0, 0), (1, 0)]), [{0: 100, 9: first_px}, {1: 100, 9: second_px}]
    split = split_grid(cells, buildings, TILE_M, BlockSettings(0.5, 0))
    assert set(split.parts) == {'train', 'val'}
    assert split.ignored == ([{9}, set()] if second_px > first_px else [set(), {9}])


@pytest.mark.parametrize('margin_m', [0, 1])
def test_two_by_two_tiles_can_be_split_without_a_margin(margin_m):
    cells, buildings = grid(2, 2)
    if margin_m:
        with pytest.raises(ValueError, match=r'each part holds a building.*--tile-px, --block-m, --margin-m'):
            split_grid(cells, buildings, TILE_M, BlockSettings(margin_m=margin_m))
    else:
        counts = split_grid(cells, buildings, TILE_M, BlockSettings()).counts()
        assert counts == {'train': 2, 'val': 1, 'test': 1, 'dropped': 0}


def test_every_part_holds_a_building_where_they_are_few():
    cells, _ = grid(30, 30)
    buildings = [{i: 9} if i % 211 == 5 else {} for i in range(len(cells))]
    parts = split_grid(cells, buildings, TILE_M, BlockSettings()).parts
    for part in ('train', 'val', 'test'):
        assert any(buildings[i] for i in np.flatnonzero(parts == part))


def test_a_share_of_zero_makes_no_such_part():
    cells, buildings = grid(12, 12)
    assert set(split_grid(cells, buildings, TILE_M, BlockSettings(0.2, 0)).parts) == {'train', 'val'}
    assert set(split_grid(cells, buildings, TILE_M, BlockSettings(0, 0)).parts) == {'train'}


def test_an_area_that_cannot_be_split_says_what_to_change():
    cells, buildings = grid(2, 1)
    with pytest.raises(ValueError, match=r'each part holds a building.*--tile-px, --block-m, --margin-m'):
        split_grid(cells, buildings, TILE_M, BlockSettings())
    for bad in ({'val_share': 0.6, 'test_share': 0.4}, {'block_m': 0}, {'margin_m': -1}):
        with pytest.raises(ValueError, match=' = '):
            BlockSettings(**bad)
