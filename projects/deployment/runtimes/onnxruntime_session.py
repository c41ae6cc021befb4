"""ONNX Runtime, on processors and GPUs."""

from pathlib import Path

import numpy as np

try:
    import onnxruntime
except ImportError as error:
    raise ImportError(f"{error}; ONNX Runtime needs the extra 'deploy': pip install -e '.[deploy]'") from error

PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}


class OnnxRuntimeSession:
    """Runs an `.onnx` file.

    Args:
        path: The file.
        device: 'cpu' or 'cuda'.
        threads: Of the processor; None: one per core.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no model that ONNX Runtime reads, or the device is not at hand.
    """

    def __init__(self, path: str | Path, device: str = 'cpu', threads: int | None = None) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f'no file {path}')
        provider = PROVIDERS[device]
        if provider not in onnxruntime.get_available_providers():
            raise ValueError(f'ONNX Runtime has no {provider} here: pip install onnxruntime-gpu, or use --device cpu')
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # threads that wait for the next call leave the cores to others
        options.add_session_config_entry('session.force_spinning_stop', '1')
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise ValueError(f'{path} is no model that ONNX Runtime reads: {error}') from error
        self.input_names = [node.name for node in self.session.get_inputs()]
        self.output_names = [node.name for node in self.session.get_outputs()]
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name."""
        arrays = [np.ascontiguousarray(array) for array in inputs]
        outputs = self.session.run(self.output_names, dict(zip(self.input_names, arrays, strict=True)))
        return dict(zip(self.output_names, outputs, strict=True))
