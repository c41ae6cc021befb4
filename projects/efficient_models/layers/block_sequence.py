"""Blocks run one after another, with activation checkpointing on request."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class BlockSequence(nn.Sequential):
    """Sequence of blocks, each of which can trade its stored activations for a second forward pass.

    Args:
        *blocks: The blocks in order.
        with_cp: Whether to checkpoint the activations of each block when gradients are recorded.
    """

    def __init__(self, *blocks: nn.Module, with_cp: bool = False) -> None:
        super().__init__(*blocks)
        self.with_cp = with_cp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the blocks on a feature map of shape (B, C, H, W)."""
        for block in self:
            x = run_checkpointed(block, x) if self.with_cp and torch.is_grad_enabled() else block(x)
        return x


def run_checkpointed(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Run a block whose activations are computed again in the backward pass.

    Note:
        A plain checkpoint would update the running statistics of batch normalisation twice per step, so the second
        pass leaves them alone.
    """

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), constant_running_statistics(block)

    return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def constant_running_statistics(block: nn.Module) -> Iterator[None]:
    """Let batch normalisation inside `block` use the statistics of the batch without recording them."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm) and module.training]
    momenta = [norm.momentum for norm in norms]
    counters = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, torch.tensor(0)  # synchronised norms insist on a counter
    try:
        yield
    finally:
        for norm, momentum, counter in zip(norms, momenta, counters, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counter
