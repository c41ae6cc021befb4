"""What a benchmark ran on, and how fast its matrix products are."""

import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import torch

from ..runtimes.processor import instructions, processor_name
from ..runtimes.torch_session import DTYPES
from .timing import clock

PACKAGES = ('torch', 'torchvision', 'timm', 'mmdet', 'mmsegmentation', 'onnx', 'onnxruntime', 'openvino', 'numpy')
MATRIX_UNITS = (
    'avx2',
    'avx512f',
    'avx_vnni',
    'avx512_vnni',
    'avx512_bf16',
    'amx_bf16',
    'amx_int8',
    'asimd',
    'bf16',
    'i8mm',
    'sve',
)
SIDES = (512, 1024, 2048)
REPEATS = 5


def describe_machine() -> dict[str, Any]:
    """Name the processor, its cores and the units that matter, the GPU if there is one, and all versions."""
    machine: dict[str, Any] = {
        'processor': processor_name(),
        'cores': os.cpu_count(),
        'instructions': [unit for unit in MATRIX_UNITS if unit in instructions()],
        'system': f'{platform.system()} {platform.machine()}',
        'python': platform.python_version(),
        'versions': {name: version for name in PACKAGES if (version := _version(name)) is not None},
    }
    if torch.cuda.is_available():
        machine['gpu'] = torch.cuda.get_device_name()
    return machine


def measure_ceiling(
    precision: str,
    device: str = 'cpu',
    sides: Sequence[int] = SIDES,
    clock: Callable[[], float] = clock,
) -> float:
    """Measure the best rate of PyTorch's product of two square matrices, on as many threads as PyTorch now uses.

    Args:
        precision: One of `PRECISIONS`.
        device: 'cpu' or 'cuda'.
        sides: Widths of the matrices; the best counts.
        clock: Seconds.

    Returns:
        GFLOP/s, two operations for each multiply-add; the fastest of some repetitions, as a ceiling is no average.
    """
    return max(_product_rate(side, DTYPES[precision], device, clock) for side in sides)


def _product_rate(side: int, dtype: torch.dtype, device: str, clock: Callable[[], float]) -> float:
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(REPEATS + 1):
        begin = clock()
        torch.mm(left, right)
        synchronize(device)
        seconds.append(clock() - begin)
    return 2 * side**3 / min(seconds[1:]) / 1e9


def synchronize(device: str) -> None:
    """Wait until a GPU has done what it was asked to do; a processor already has."""
    if device == 'cuda':
        torch.cuda.synchronize()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
