"""Means of a map of any size over a grid of cells, in graphs of open size, too."""

import torch


def pool_to_grid(x: torch.Tensor, side: int) -> torch.Tensor:
    """Average a map over the cells of a grid, as `adaptive_avg_pool2d` does, by two products of matrices.

    Args:
        x: Shape (B, C, H, W).
        side: Rows and columns of the grid; a map of fewer keeps its own.

    Returns:
        Shape (B, C, min(side, H), min(side, W)).
    """
    rows, columns = (_cell_weights(length, side, x) for length in x.shape[2:])
    return rows @ x @ columns.T


def pool_macs(height: int, width: int, side: int) -> int:
    """Multiply-adds of `pool_to_grid` for each channel of one image."""
    rows, columns = min(side, height), min(side, width)
    return rows * height * width + rows * columns * width


def _cell_weights(length: int, side: int, x: torch.Tensor) -> torch.Tensor:
    """Return what each position counts in each cell along an axis, shape (cells, length)."""
    positions = torch.arange(length, device=x.device)
    cells = torch.arange(side, device=x.device)[:length, None]
    # tensors, as a traced graph needs them
    total, count = positions[-1:] + 1, cells[-1:] + 1
    starts = torch.div(cells * total, count, rounding_mode='floor')
    ends = torch.div((cells + 1) * total + count - 1, count, rounding_mode='floor')
    weights = ((positions >= starts) & (positions < ends)).to(x.dtype)
    return weights / weights.sum(dim=1, keepdim=True)
