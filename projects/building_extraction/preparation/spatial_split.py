"""Splits an area into training and validation ground along a compact border, never at random.

Neighbouring tiles show the same roofs, shadows and street; a random split would score how well the network remembers
them. The unit that is split here is the *block*, a square of ground, and the validation blocks follow one another along
a curve through the area: they form one patch, or a few where the curve crosses a gap or an edge.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Block(NamedTuple):
    """A square of ground, by column and row."""

    x: int
    y: int


class SplitError(ValueError):
    """The area cannot be split so that both sides hold buildings."""


def morton_code(block: Block) -> int:
    """Position on the Z-shaped curve that visits each quadrant before the next (Morton, 1966)."""
    return sum(((block.x >> bit & 1) << 2 * bit) | ((block.y >> bit & 1) << 2 * bit + 1) for bit in range(31))


ORDERS: tuple[Callable[[Block], Any], ...] = (morton_code, lambda block: block, lambda block: (block.y, block.x))


def neighbors(block: Block) -> list[Block]:
    """The four blocks that share a side with `block`."""
    return [Block(block.x + dx, block.y + dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]


def choose_val_blocks(
    num_tiles: dict[Block, int], instances: dict[Block, set[int]], seen: dict[Block, set[int]], val_share: float
) -> set[Block]:
    """Choose the validation blocks: an unbroken run along a sweep (by column or row) or the Morton curve.

    Of all such runs that hold `val_share` of the tiles as nearly as whole blocks allow (compared to the whole per
    cent), those whose share of the buildings is nearest to it too (to the tenth, so that a sparse edge of the area
    does not become the validation set) are kept, and of these the one with the fewest sides shared with training
    blocks. Deterministic.

    Args:
        num_tiles: Images per block.
        instances: Numbers of the buildings to learn from or be scored on, per block; one on a border is in several.
        seen: The same, with the buildings of which too little is visible for that.
        val_share: Share of the tiles wanted for validation, between 0 and 1.

    Returns:
        The validation blocks. At least one of their instances is not seen outside; the other blocks hold one too.

    Raises:
        SplitError: There is no such run.
    """
    if len(num_tiles) < 2:
        raise SplitError(f'all tiles lie in {len(num_tiles)} block of ground')
    orders = [sorted(num_tiles, key=key) for key in ORDERS]
    candidates = []
    for number, order in enumerate(orders):
        num_buildings = np.cumsum([0, *(len(instances[block]) for block in order)])
        for start, end, tile_share, sides in _runs(order, num_tiles, val_share):
            building_share = (num_buildings[end] - num_buildings[start]) / max(num_buildings[-1], 1)
            error = (round(abs(tile_share - val_share), 2), round(abs(building_share - val_share), 1))
            candidates.append((error, sides, number, start, end))
    for *_, number, start, end in sorted(candidates):
        val = set(orders[number][start:end])
        seen_in_training = set().union(*(seen[block] for block in num_tiles if block not in val))
        in_training = set().union(*(instances[block] for block in num_tiles if block not in val))
        in_val = set().union(*(instances[block] for block in val))
        if in_training and in_val - seen_in_training:
            return val
    raise SplitError(f'no cut of the {len(num_tiles)} blocks of ground leaves whole buildings on both sides')


def _runs(order: list[Block], num_tiles: dict[Block, int], val_share: float) -> Iterator[tuple[int, int, float, int]]:
    """Every start with the end that comes nearest to `val_share`: start, end, share of tiles, sides on the border."""
    cumulative = np.cumsum([0, *(num_tiles[block] for block in order)])
    total = cumulative[-1]
    inside: set[Block] = set()
    sides = 0
    end = 0
    for start in range(len(order)):
        target = cumulative[start] + val_share * total
        while end == start or (end < len(order) and abs(cumulative[end + 1] - target) <= abs(cumulative[end] - target)):
            sides += sum(-1 if near in inside else near in num_tiles for near in neighbors(order[end]))
            inside.add(order[end])
            end += 1
        if end - start < len(order):
            yield start, end, (cumulative[end] - cumulative[start]) / total, sides
        inside.remove(order[start])
        sides -= sum(-1 if near in inside else near in num_tiles for near in neighbors(order[start]))


def leave_strip_out(num_tiles: dict[Block, int], strip: int, num_strips: int) -> tuple[set[Block], set[Block]]:
    """Cut the area into strips of whole rows or columns, across its longer side, with as many tiles each as they allow.

    So that each tile is tested on once when every strip has had its turn, with no ground on two sides of a split.

    Args:
        num_tiles: Images per block.
        strip: Which strip is the test, from 1.
        num_strips: How many there are.

    Returns:
        The blocks of the test, and those of validation: the one row or column beside the test, of the side that holds
        more of the area.

    Raises:
        SplitError: There are fewer rows or columns than training, validation and the other strips need.
    """
    rows = len({block.y for block in num_tiles}) >= len({block.x for block in num_tiles})
    lines: dict[int, set[Block]] = {}
    for block in num_tiles:
        lines.setdefault(block.y if rows else block.x, set()).add(block)
    order = sorted(lines)
    weights = np.array([sum(num_tiles[block] for block in lines[line]) for line in order])
    strips = ((np.cumsum(weights) - weights / 2) / weights.sum() * num_strips).astype(int) + 1
    chosen = np.flatnonzero(strips == strip)
    if len(set(strips.tolist())) < num_strips or len(order) - len(chosen) < 2:
        raise SplitError(
            f'{len(order)} {"rows" if rows else "columns"} of blocks do not make {num_strips} strips with validation '
            'and training beside each'
        )
    before, after = chosen[0], len(order) - 1 - chosen[-1]
    beside = chosen[-1] + 1 if after >= before else chosen[0] - 1
    return set().union(*(lines[order[i]] for i in chosen)), lines[order[beside]]


def shared_sides(num_tiles: dict[Block, int], val: set[Block]) -> int:
    """How many block sides lie between validation and training."""
    return sum(near in num_tiles and near not in val for block in val for near in neighbors(block))
