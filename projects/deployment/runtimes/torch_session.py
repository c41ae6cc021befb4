"""PyTorch, eager or compiled, on processors and GPUs."""

import numpy as np
import torch
from torch import nn

from projects.command_line import UsageError

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


class TorchSession:
    """Runs a module.

    Args:
        module: From tensors to a tuple of tensors; its `output_names` name them (one `output` without).
        device: 'cpu' or 'cuda'.
        precision: 'fp32', or 'bf16' or 'fp16' by autocast.
        compiled: Whether `torch.compile` compiles it, anew for each shape of its inputs.
        threads: Of the processor, for all PyTorch in this process; None: as they are.

    Raises:
        UsageError: See `check_device`.
    """

    def __init__(
        self,
        module: nn.Module,
        device: str = 'cpu',
        precision: str = 'fp32',
        compiled: bool = False,
        threads: int | None = None,
    ) -> None:
        check_device(device, precision)
        if threads is not None:
            torch.set_num_threads(threads)
        self.device, self.precision = torch.device(device), precision
        self.output_names = getattr(module, 'output_names', ('output',))
        module = module.eval().to(self.device)
        if self.device.type == 'cuda':
            module = module.to(memory_format=torch.channels_last)
        self.module = torch.compile(module) if compiled else module

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name."""
        tensors = [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in inputs]
        lowered = self.precision != 'fp32'
        with torch.inference_mode(), torch.autocast(self.device.type, DTYPES[self.precision], enabled=lowered):
            outputs = self.module(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        arrays = [(output.float() if output.is_floating_point() else output).cpu().numpy() for output in outputs]
        return dict(zip(self.output_names, arrays, strict=True))


def check_device(device: str, precision: str) -> None:
    """Refuse what PyTorch cannot do here.

    Raises:
        UsageError: An unknown precision, fp16 on a processor, or no GPU.
    """
    if precision not in DTYPES or (precision == 'fp16' and device == 'cpu'):
        raise UsageError(
            f'precision {precision!r} on {device}: PyTorch computes in fp32 or bf16, and on GPUs in fp16; int8 is for '
            'exported files'
        )
    if device == 'cuda' and not torch.cuda.is_available():
        raise UsageError('PyTorch finds no GPU here: use --device cpu')
