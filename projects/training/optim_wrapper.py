"""Mixed precision in bfloat16."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner.amp import autocast
from torch import Tensor, nn

LARGE_KERNEL = 5


def has_bfloat16_units() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (x86 on Linux: AVX512_BF16 or AMX)."""
    cpuinfo = Path('/proc/cpuinfo')
    return cpuinfo.is_file() and re.search(r'\b(avx512_bf16|amx_bf16)\b', cpuinfo.read_text()) is not None


class Float32Conv2d(nn.Conv2d):
    """A convolution that a processor does in float32 under autocast to bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the type that it has; in float32 on a processor, in that of autocast elsewhere."""
        if x.device.type != 'cpu':
            return super().forward(x)
        with torch.autocast('cpu', enabled=False):
            return super().forward(x.to(torch.float32, memory_format=torch.channels_last)).to(x.dtype)


def in_float32(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    """`Float32Conv2d` of a kind of convolution, such as timm's with TensorFlow's padding."""
    return Float32Conv2d if kind is nn.Conv2d else type(f'Float32{kind.__name__}', (Float32Conv2d, kind), {})


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward pass under autocast to bfloat16, on CPUs as on GPUs.

    mmengine's AmpOptimWrapper asks for an accelerator and scales the loss; bfloat16 has the exponent range of float32,
    so that no loss scale is needed.

    Note:
        oneDNN has no fast kernel for the gradients of some depthwise convolutions in bfloat16: those with a stride take
        7 to 70 times as long as in float32, for each of SHViT's patch mergings, and with those of 5 x 5 they are half
        of a step of U-Net on EfficientNet-Lite0. On a processor these convolutions stay in float32, and become
        `Float32Conv2d` for that; parameters and their names remain.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepared: nn.Module | None = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass of `model`."""
        if model is not self._prepared:
            keep_depthwise_in_float32(model)
            self._prepared = model
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


def keep_depthwise_in_float32(model: nn.Module) -> None:
    """Turn each depthwise convolution of a model with a stride or a large kernel into a `Float32Conv2d`, in place."""
    for module in model.modules():
        if (
            isinstance(module, nn.Conv2d)
            and not isinstance(module, Float32Conv2d)
            and module.groups == module.in_channels > 1
            and (max(module.stride) > 1 or max(module.kernel_size) >= LARGE_KERNEL)
        ):
            module.__class__ = in_float32(type(module))
