"""The dtype that operators compute in, and gradients of those that are written in differentiable PyTorch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def widen(first: Tensor, *others: Tensor) -> list[Tensor]:
    """All tensors in the dtype to compute in: float64 if the first one has it, else float32."""
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    return [tensor.to(dtype) for tensor in (first, *others)]


def add_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor, totals: Sequence[Tensor]
) -> None:
    """Add the gradients of `function(*inputs)`, given that by its output, to the tensors in `totals`."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in widen(*inputs)]
        output = function(*leaves)
        grads = torch.autograd.grad(output, leaves, grad_output.to(output.dtype))
    for total, grad in zip(totals, grads, strict=True):
        total += grad
