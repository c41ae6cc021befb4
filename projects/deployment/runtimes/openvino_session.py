"""OpenVINO, on processors."""

import io
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from ..model_info import KEY
from .exact_boxes import keep_boxes_exact
from .grouped_convolutions import join_groups

try:
    import onnx
    import openvino
except ImportError as error:
    raise ImportError(f"{error}; OpenVINO needs the extra 'deploy': pip install -e '.[deploy]'") from error

HINTS = {'fp32': 'f32', 'bf16': 'bf16', 'fp16': 'f16'}


class OpenVINOSession:
    """Runs an `.xml` or `.onnx` file.

    Args:
        path: The file.
        precision: 'fp32', 'bf16' or 'fp16' to compute in; None: what the processor is fastest in. A file whose weights
            are int8 computes in int8 whatever is said here, and the rest of it as said.
        threads: Of the processor; None: one per core.

    Raises:
        FileNotFoundError: There is no such file, or no `.bin` beside an `.xml`.
        ValueError: It is no model that OpenVINO reads, or the processor has no such precision.
    """

    def __init__(self, path: str | Path, precision: str | None = None, threads: int | None = None) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f'no file {path}')
        model = read_model(path)
        self.output_names = [output.any_name for output in model.outputs]
        self._compiled = compile_graph(model, precision, threads)
        self._requests = threading.local()

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name."""
        if not hasattr(self._requests, 'request'):
            self._requests.request = self._compiled.create_infer_request()
        results = self._requests.request.infer([np.ascontiguousarray(array) for array in inputs], share_inputs=True)
        return dict(zip(self.output_names, results.to_tuple(), strict=True))

    def layers(self) -> list['ExecutedLayer']:
        """What the compiled graph consists of, in the order of execution."""
        return executed_layers(self._compiled)


class ExecutedLayer(NamedTuple):
    """A kernel of a compiled graph.

    Attributes:
        name: In the compiled graph.
        kind: OpenVINO's name for what it does.
        kernel: OpenVINO's name for how.
        precision: Of what it reads: 'f32', 'bf16', 'f16', 'i8' or 'u8'.
        made_of: Names of the nodes of the file that it computes.
    """

    name: str
    kind: str
    kernel: str
    precision: str
    made_of: tuple[str, ...]


def executed_layers(compiled: openvino.CompiledModel) -> list[ExecutedLayer]:
    """What a compiled graph consists of, in the order of execution."""
    found = []
    for operation in compiled.get_runtime_model().get_ordered_ops():
        told = {key: str(getattr(value, 'value', value)) for key, value in operation.get_rt_info().items()}
        kind, kernel, precision, names = (
            told.get(key, '') for key in ('layerType', 'primitiveType', 'runtimePrecision', 'originalLayersNames')
        )
        found.append(ExecutedLayer(operation.friendly_name, kind, kernel, precision, tuple(names.split(','))))
    return found


def compile_graph(
    model: openvino.Model, precision: str | None, threads: int | None, options: Mapping[str, str | int | bool] = {}
) -> openvino.CompiledModel:
    """Compile a graph for the processor, precision and threads as of `OpenVINOSession`, with other options besides.

    Raises:
        ValueError: The processor does not compute in this precision.
    """
    capabilities = _core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    needed = {'bf16': 'BF16', 'fp16': 'FP16'}.get(precision or 'fp32', 'FP32')
    if needed not in capabilities:
        raise ValueError(f'this processor does not compute in {precision}; OpenVINO offers {capabilities}')
    # pinned, the threads of several sessions and processes would all take the first cores
    chosen: dict[str, str | int | bool] = {'PERFORMANCE_HINT': 'LATENCY', 'ENABLE_CPU_PINNING': False, **options}
    if precision is not None:
        chosen['INFERENCE_PRECISION_HINT'] = HINTS[precision]
    if threads is not None:
        chosen['INFERENCE_NUM_THREADS'] = threads
    return _core().compile_model(model, 'CPU', chosen)


def convert_onnx(onnx_path: str | Path, path: str | Path, description: str, half_weights: bool) -> None:
    """Write an `.onnx` file as OpenVINO's `.xml` and `.bin`, in the form that its kernels compute right.

    Groups of convolutions are joined, and boxes stay exact in half precision.

    Args:
        onnx_path: What to convert.
        path: The `.xml`; the `.bin` lies beside it.
        description: JSON of the `ModelInfo`.
        half_weights: Store weights in fp16, as precisions below fp32 may.
    """
    joined = _joined_groups(Path(onnx_path))
    model = openvino.convert_model(str(onnx_path) if joined is None else io.BytesIO(joined))
    model.set_rt_info(description, [KEY])
    openvino.save_model(model, str(path), compress_to_fp16=half_weights)
    keep_boxes_exact(Path(path))


def read_metadata(path: str | Path) -> dict[str, str]:
    """The description that `convert_onnx` put into an `.xml`, under its key; empty if there is none.

    Raises:
        ValueError: It is no model that OpenVINO reads.
    """
    model = read_model(path)
    return {KEY: model.get_rt_info([KEY]).astype(str)} if model.has_rt_info([KEY]) else {}


def read_model(path: str | Path) -> openvino.Model:
    """The graph of an `.xml` or `.onnx` file, not compiled, the latter in the form that int8 kernels compute right.

    Raises:
        FileNotFoundError: The `.bin` beside an `.xml` is missing.
        ValueError: It is no model that OpenVINO reads.
    """
    if Path(path).suffix == '.xml' and not Path(path).with_suffix('.bin').is_file():
        raise FileNotFoundError(f'{path} has its weights in {Path(path).with_suffix(".bin").name}, which is missing')
    try:
        joined = _joined_groups(Path(path)) if Path(path).suffix == '.onnx' else None
        return _core().read_model(path if joined is None else joined)
    except (RuntimeError, DecodeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f'{path} is damaged, or no model that OpenVINO reads: {reason}') from error


def _joined_groups(path: Path) -> bytes | None:
    """An `.onnx` file with groups of convolutions joined; None if nothing was to be done."""
    model = onnx.load(path)
    return model.SerializeToString() if join_groups(model) else None


@cache
def _core() -> openvino.Core:
    """The only one of the process, which is never deleted.

    The plugin for processors (2026.4) gives the thread that first uses a core a stack for its signal handlers, and the
    earlier one back when the core is deleted. Of two cores, the first of which is deleted first, the other gives back a
    stack that is gone; the next signal with a handler, such as the end of a child process, then ends the process.
    """
    return openvino.Core()
