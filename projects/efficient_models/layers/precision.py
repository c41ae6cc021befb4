"""Computing in float32 inside a network of any precision."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps

import torch


def without_autocast(device_type: str) -> AbstractContextManager[object]:
    """Return a context without automatic mixed precision, on any device; the meta device knows none.

    Args:
        device_type: Of the tensors, such as 'cuda'.
    """
    known = torch.amp.is_autocast_available(device_type)
    return torch.autocast(device_type, enabled=False) if known else nullcontext()


def in_float32(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Make a function of tensors compute in float32 at least, and return the precision of its first one.

    Products of activations exceed float16, and sums over all tokens lose precision in bfloat16, with autocast, too.
    """

    @wraps(function)
    def wrapper(*tensors: torch.Tensor) -> torch.Tensor:
        given = tensors[0].dtype
        with without_autocast(tensors[0].device.type):
            return function(*(one.to(torch.promote_types(one.dtype, torch.float32)) for one in tensors)).to(given)

    return wrapper
