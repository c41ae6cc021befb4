"""Models of a benchmark in every runtime, ready to be called."""

import functools
import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn

from projects.command_line import TORCH_RUNTIMES

from ..predictor import finished
from ..runtimes import open_file_session
from ..runtimes.descriptions import read_info
from ..runtimes.torch_session import DTYPES
from .machine import synchronize
from .subjects import Fold, Subject, open_subject
from .timing import Case

OPSET = 17


def cases_of(
    subject: Subject, runtimes: Sequence[str], precisions: Sequence[str], device: str
) -> tuple[list[Case], dict[str, str]]:
    """Return the cases of a model that can run, and why the others cannot.

    Args:
        subject: The model.
        runtimes: Of `TIMED_RUNTIMES`.
        precisions: Of `PRECISIONS`; none: fp32, and for exported files their own, which is called 'file'. ONNX Runtime
            computes files in no other one.
        device: 'cpu' or 'cuda'.
    """
    cases: list[Case] = []
    reasons: dict[str, str] = {}
    for runtime in runtimes:
        as_file = subject.file is not None and (runtime == 'onnxruntime' or not precisions)
        for precision in ('file',) if as_file else precisions or ('fp32',):
            case = Case(subject.name, runtime, precision)
            reason = _obstacle(subject, case, device)
            if reason is None:
                cases.append(case)
            else:
                reasons[str(case)] = reason
    return cases, reasons


def open_case(
    subject: Subject,
    case: Case,
    batch_size: int,
    folder: Path,
    *,
    threads: int,
    device: str = 'cpu',
    channels_last: bool = False,
) -> Callable[[], object]:
    """Make a function that predicts the benchmark's images once, and returns when that is done.

    PyTorch's runtimes find their images on the device; sessions of the others take them from memory, as in use.

    Args:
        subject: The model.
        case: Its runtime and precision, of `cases_of`.
        batch_size: Images per call.
        folder: Where networks are exported to.
        threads: Threads of the processor.
        device: 'cpu' or 'cuda'.
        channels_last: Whether PyTorch keeps the channels of a pixel together.
    """
    images = subject.images(batch_size)
    if case.runtime not in TORCH_RUNTIMES:
        path = file_of(subject, batch_size, folder)
        precision = None if case.precision == 'file' else case.precision
        session = open_file_session(case.runtime, path, device, precision, threads)
        if subject.takes_pixels and subject.file is not None:
            session = finished(session, read_info(path))
        return functools.partial(session, images)
    return _torch_call(subject, case, torch.from_numpy(images), device, channels_last)


def opener(
    subject: Subject, case: Case, folder: Path, threads: int
) -> tuple[Callable[[], Callable[[], object]], tuple[str, ...]]:
    """Return what opens a case for one image in another process, and the libraries that it needs; see `peak_memory`."""
    if case.runtime in TORCH_RUNTIMES:
        return functools.partial(_reopen, subject.text, subject.size, subject.fold, case, folder, threads), ()
    path = file_of(subject, 1, folder)
    copy = Subject(subject.name, subject.size, takes_pixels=subject.takes_pixels, file=path)
    open_copy = functools.partial(open_case, copy, case, 1, folder, threads=threads)
    return open_copy, (f'projects.deployment.runtimes.{case.runtime}_session',)


def _reopen(
    text: str, size: tuple[int, int], fold: Fold | None, case: Case, folder: Path, threads: int
) -> Callable[[], object]:
    torch.set_num_threads(threads)
    return open_case(open_subject(text, size, fold), case, 1, folder, threads=threads)


def file_of(subject: Subject, batch_size: int, folder: Path) -> Path:
    """Return a model's file: its own, or the fused network as ONNX for one batch size, written if need be."""
    if subject.file is not None:
        return subject.file
    path = folder / f'{"".join(c if c.isalnum() else "_" for c in subject.name)}_b{batch_size}.onnx'
    if not path.is_file():
        network = subject.fused()
        images = torch.from_numpy(subject.images(batch_size)).to(next(network.parameters()).device)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter('ignore')  # the exporter's own; sizes are fixed on purpose
            torch.onnx.export(network, (images,), path, dynamo=False, opset_version=OPSET, input_names=['images'])
    return path


def _torch_call(subject: Subject, case: Case, images: Tensor, device: str, channels_last: bool) -> Callable[[], object]:
    network = subject.network if case.runtime == 'eager' else subject.fused()
    assert network is not None
    network, images = network.to(device), images.to(device)
    if channels_last and not subject.takes_pixels:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    prepared = _prepared(network, case.runtime, images)
    dtype = DTYPES[case.precision]

    def call() -> object:
        with torch.inference_mode(), _autocast(device, dtype):
            outputs = prepared(images)
        synchronize(device)
        return outputs

    return call


def _prepared(network: nn.Module, runtime: str, images: Tensor) -> Callable[[Tensor], object]:
    if runtime == 'traced':
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # traced for one size on purpose
            return torch.jit.trace(network, images, check_trace=False)
    if runtime == 'compile':
        return torch.compile(network, dynamic=False)
    if runtime == 'cudagraphs':
        return torch.compile(network, dynamic=False, mode='reduce-overhead')
    return network


def _autocast(device: str, dtype: torch.dtype) -> AbstractContextManager:
    return nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype)


def _obstacle(subject: Subject, case: Case, device: str) -> str | None:
    """Why a case cannot run; None if it can."""
    if subject.file is not None and case.runtime in TORCH_RUNTIMES:
        return 'PyTorch does not run exported files'
    if subject.file is not None and subject.file.suffix == '.xml' and case.runtime == 'onnxruntime':
        return 'ONNX Runtime does not run OpenVINO files'
    if case.runtime == 'cudagraphs' and device != 'cuda':
        return 'CUDA graphs need --device cuda'
    if case.runtime == 'openvino' and device != 'cpu':
        return 'OpenVINO runs on the processor here'
    if case.runtime == 'onnxruntime' and case.precision not in ('fp32', 'file'):
        return 'ONNX Runtime computes in what the file says, and networks are exported in fp32'
    if case.precision == 'fp16' and device == 'cpu':
        return 'processors compute in fp32 or bf16'
    return None
