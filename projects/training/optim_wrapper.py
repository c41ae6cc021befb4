"""Mixed precision in bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner.amp import autocast


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward pass under autocast to bfloat16, on CPUs as on GPUs.

    mmengine's AmpOptimWrapper asks for an accelerator and scales the loss; bfloat16 has the exponent range of float32,
    so that no loss scale is needed.
    """

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """Autocast the forward pass of `model`."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
