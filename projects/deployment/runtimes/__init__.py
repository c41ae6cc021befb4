"""What runs models; a session of any runtime is called with arrays and returns arrays by name."""

from pathlib import Path
from typing import Any

OPENED_BY = {  # suffixes of what each of `RUNTIMES` opens
    'eager': ('.py',),
    'compile': ('.py',),
    'onnxruntime': ('.onnx',),
    'openvino': ('.xml', '.onnx'),
}
BY_SUFFIX = {'.py': 'eager', '.onnx': 'onnxruntime', '.xml': 'openvino'}  # where none is named


def open_file_session(
    runtime: str, path: Path, device: str = 'cpu', precision: str | None = None, threads: int | None = None
) -> Any:
    """A session of a file: of 'openvino', on the processor, or of 'onnxruntime', which computes as the file says.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: The runtime is not installed.
        ValueError: It is no model that the runtime reads, or the device or precision is not to be had.
    """
    if runtime == 'openvino':
        from .openvino_session import OpenVINOSession

        return OpenVINOSession(path, precision, threads)
    from .onnxruntime_session import OnnxRuntimeSession

    return OnnxRuntimeSession(path, device, threads)
