"""Splits the tiles of one image into training, validation and test ground, and the buildings with them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .spatial_split import Block, SplitError, choose_val_blocks

PARTS = ('train', 'val', 'test')
BLOCKS_PER_SIDE = 6  # wanted along the image's side where no block size is asked for


@dataclass(frozen=True)
class BlockSettings:
    """How an area is split.

    Attributes:
        val_share: Share of the tiles wanted for validation; 0: none.
        test_share: Share of the tiles wanted for testing; 0: none.
        block_m: Side of the squares of ground that are never split, in metres; None: chosen from the area's size.
        margin_m: Tiles of different parts are at least that far apart, in metres; those between are dropped.
    """

    val_share: float = 0.2
    test_share: float = 0.2
    block_m: float | None = None
    margin_m: float = 0.0

    def __post_init__(self) -> None:
        if min(self.val_share, self.test_share) < 0 or self.val_share + self.test_share >= 1:
            raise ValueError(
                f'val_share = {self.val_share}, test_share = {self.test_share}: expected shares of at least 0 that '
                'leave something for training, such as 0.2 and 0.2'
            )
        if self.block_m is not None and not self.block_m > 0:
            raise ValueError(f'block_m = {self.block_m}: expected metres, more than 0')
        if not self.margin_m >= 0:
            raise ValueError(f'margin_m = {self.margin_m}: expected metres, at least 0')


@dataclass
class GridSplit:
    """The parts of a tile grid.

    Attributes:
        parts: (N,) 'train', 'val' or 'test' per tile, 'dropped' for those within the margin between them.
        ignored: (N,) Numbers of the buildings in each tile that belong to another part.
        block_tiles: Side of a block in tiles.
    """

    parts: np.ndarray
    ignored: list[set[int]]
    block_tiles: int

    def counts(self) -> dict[str, int]:
        """Tiles in each part."""
        return {part: int((self.parts == part).sum()) for part in (*PARTS, 'dropped')}


def split_grid(
    cells: np.ndarray, buildings: Sequence[Mapping[int, float]], tile_m: float, settings: BlockSettings
) -> GridSplit:
    """Divide tiles by blocks of ground; deterministic.

    First the test blocks are chosen, then the validation blocks among the rest (see `choose_val_blocks`: compact runs
    of blocks, whose number of buildings is near the wanted share too). Then, of tiles of different parts that are
    nearer than the margin, the one that training or, against testing, validation holds is dropped. A building that is
    seen in several parts belongs to the one that sees most of it, and is to be ignored in the tiles of the others.

    Args:
        cells: (N, 2) Column and row of each tile in the grid; gaps are allowed.
        buildings: (N,) Numbers of the buildings that each tile sees, and how many pixels of each.
        tile_m: Side of a tile in metres.
        settings: Shares, block size and margin.

    Raises:
        ValueError: The area cannot be split so that each part has a building of its own.
    """
    if settings.block_m is not None:
        sizes = [max(round(settings.block_m / tile_m), 1)]
    else:
        largest = max(int(np.ptp(cells, axis=0).max() + 1) // BLOCKS_PER_SIDE, 1) if len(cells) else 1
        sizes = [largest >> halvings for halvings in range(largest.bit_length())]
    reach = int(np.ceil(settings.margin_m / tile_m))
    reasons = []
    for block_tiles in sizes:
        try:
            parts = _choose_parts(cells, buildings, block_tiles, reach, settings)
            ignored = _of_other_parts(parts, buildings, settings)
        except SplitError as error:
            reasons.append(f'{block_tiles * tile_m:.4g} m: {error}')
        else:
            return GridSplit(parts, ignored, block_tiles)
    raise ValueError(
        'cannot split the area so that each part holds a building. With blocks of '
        + '; of '.join(reasons)
        + '. Use smaller tiles, blocks or margins (--tile-px, --block-m, --margin-m), a share of 0 '
        '(--test-share 0), or a larger image'
    )


def _choose_parts(
    cells: np.ndarray, buildings: Sequence[Mapping[int, float]], block_tiles: int, reach: int, settings: BlockSettings
) -> np.ndarray:
    parts = np.full(len(cells), 'train', dtype='<U7')
    blocks = [Block(*block) for block in (cells // block_tiles).tolist()]
    for part, share in (('test', settings.test_share), ('val', settings.val_share / (1 - settings.test_share))):
        if share:
            chosen = _choose_blocks(blocks, buildings, parts == 'train', share)
            parts[[block in chosen and parts[i] == 'train' for i, block in enumerate(blocks)]] = part
            lower = np.isin(parts, ('train', 'val') if part == 'test' else ('train',))
            parts[lower & _near(cells, parts == part, reach)] = 'dropped'
    return parts


def _choose_blocks(
    blocks: list[Block], buildings: Sequence[Mapping[int, float]], free: np.ndarray, share: float
) -> set[Block]:
    num_tiles: dict[Block, int] = defaultdict(int)
    seen: dict[Block, set[int]] = defaultdict(set)
    for i in np.flatnonzero(free).tolist():
        num_tiles[blocks[i]] += 1
        seen[blocks[i]] |= buildings[i].keys()
    return choose_val_blocks(dict(num_tiles), seen, seen, share)


def _near(cells: np.ndarray, chosen: np.ndarray, reach: int) -> np.ndarray:
    """Which tiles lie within `reach` tiles, diagonals too, of a chosen one; with a reach of 0 none but these."""
    column, row = (cells - cells.min(axis=0)).T
    grid = np.zeros((row.max() + 1, column.max() + 1), dtype=bool)
    grid[row[chosen], column[chosen]] = True
    return ndimage.maximum_filter(grid, size=2 * reach + 1, mode='constant')[row, column]


def _of_other_parts(
    parts: np.ndarray, buildings: Sequence[Mapping[int, float]], settings: BlockSettings
) -> list[set[int]]:
    """The buildings of each tile that belong to another part than its own: to that which sees most of them."""
    seen_px: dict[int, dict[str, float]] = defaultdict(lambda: dict.fromkeys(PARTS, 0.0))
    for part, seen in zip(parts.tolist(), buildings, strict=True):
        for building, area_px in seen.items() if part in PARTS else ():
            seen_px[building][part] += area_px
    owners = {building: max(PARTS, key=areas.__getitem__) for building, areas in seen_px.items()}
    for part, share in zip(PARTS, (1, settings.val_share, settings.test_share), strict=True):
        if share and part not in owners.values():
            raise SplitError(f'no building remains for {part} beside the margin and what other parts see more of')
    return [
        {building for building in seen if owners.get(building, part) != part}
        for part, seen in zip(parts.tolist(), buildings, strict=True)
    ]
