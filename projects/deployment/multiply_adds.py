"""Multiply-adds (MACs) of any computation in PyTorch: counted here alone, whichever kernels PyTorch would choose.

MACs are the multiply-adds of convolutions, deformable ones included, linear layers and matrix products, those of
attention included. Biases, normalisation, activations, interpolation and RoIAlign are not counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

import torch
import torchvision.ops  # noqa: F401 (registers torchvision::deform_conv2d)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

ACTIVATION_PRODUCTS = (torch.ops.aten.bmm, torch.ops.aten.baddbmm)  # of two activations: attention


class Macs(NamedTuple):
    """Multiply-adds of one image.

    Attributes:
        total: All of them.
        attention: Those of products of two activations, which many counters leave out.
    """

    total: int
    attention: int

    def __add__(self, other: 'Macs') -> 'Macs':  # type: ignore[override]
        return Macs(self.total + other.total, self.attention + other.attention)


def count_macs(function: Callable, *args: Any) -> tuple[Any, Macs]:
    """Call a function and count the multiply-adds of what it computes.

    PyTorch's counter knows operators, and attention reaches it as one of about ten, by device, data type and release;
    it does not know all of them, and counts 0 then. Attention is therefore computed as two matrix products, and modules
    take their ordinary path rather than a fused one. `FlopCounterMode` counts two operations for each multiply-add.

    Args:
        function: Anything that computes on tensors, e.g. a network.
        *args: Its arguments. With fake tensors (`FakeTensorMode`) nothing is computed, however large they are.

    Returns:
        What the function returned, and the count.

    Example:
        >>> count_macs(torch.nn.Linear(3, 5), torch.ones(2, 3))[1]
        Macs(total=30, attention=0)
    """
    deformable = {torch.ops.torchvision.deform_conv2d: _deformable_flops}
    with (
        FlopCounterMode(display=False, custom_mapping=deformable) as counter,
        sdpa_kernel(SDPBackend.MATH),
        _ordinary_attention_modules(),
    ):
        output = function(*args)
    flops = counter.get_flop_counts().get('Global', {})
    attention = sum(flops.get(product, 0) for product in ACTIVATION_PRODUCTS)
    return output, Macs(sum(flops.values()) // 2, attention // 2)


@contextmanager
def _ordinary_attention_modules() -> Iterator[None]:
    """Keep `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` from their fused operators, which no one counts."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _deformable_flops(images: Any, weight: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Two operations for each product of `weight`, (C_out, C_in / groups, kh, kw), at each position of the output."""
    batch, _, height, width = out_shape
    return 2 * prod(weight) * batch * height * width
