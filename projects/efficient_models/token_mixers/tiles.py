"""Cutting maps of any size into square tiles of tokens, and back."""

import torch


def cut_tiles(x: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Gather the tokens of each tile.

    Args:
        x: Map of shape (B, C, H, W).
        rows: For each row of tiles, which rows of the map it has, shape (vertical, side).
        columns: For each column of tiles, which columns of the map it has, shape (horizontal, side).
        num_heads: Heads that share the channels.

    Returns:
        Shape (B * vertical * horizontal, heads, side * side, C / heads).
    """
    side = rows.shape[1]
    tokens = x.permute(0, 2, 3, 1).flatten(1, 2)
    places = rows[:, None, :, None] * x.shape[3] + columns[:, None, :]
    tiles = tokens.index_select(1, places.flatten()).unflatten(1, (-1, side**2)).flatten(0, 1)
    return tiles.unflatten(2, (num_heads, -1)).transpose(1, 2)


def join_tiles(tiles: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Put tiles side by side.

    Args:
        tiles: Shape (B * vertical * horizontal, heads, side * side, C / heads).
        rows: Shape (vertical, side).
        columns: Shape (horizontal, side).

    Returns:
        Shape (B, C, vertical * side, horizontal * side).
    """
    grid, side = (-1, rows.shape[0], columns.shape[0]), rows.shape[1]
    x = tiles.transpose(1, 2).flatten(2).unflatten(1, (side, side)).unflatten(0, grid)
    # this order of the factors gives channels-last memory
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def pair_axes(rows: torch.Tensor, columns: torch.Tensor, batch: int) -> torch.Tensor:
    """Combine which keys are seen along each axis.

    Args:
        rows: For each row of tiles, query and key along the vertical axis, shape (vertical, queries, keys).
        columns: As `rows`, along the horizontal axis.
        batch: Images.

    Returns:
        Shape (batch * vertical * horizontal, 1, queries ** 2, keys ** 2).
    """
    pairs = rows[:, None, :, None, :, None] & columns[None, :, None, :, None, :]
    pairs = pairs.flatten(4, 5).flatten(2, 3).flatten(0, 1)
    return pairs.expand(batch, -1, -1, -1).flatten(0, 1)[:, None]
