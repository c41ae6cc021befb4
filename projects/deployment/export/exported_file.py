"""An exported model on disk: one `.onnx` file, or an `.xml` with its `.bin`."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..inference_graphs.images import ImageGraph
from ..inference_graphs.segmentation import CELLS, PIXELS, SegmentationGraph
from ..model_info import KEY, ModelInfo
from ..quantization.quantize import quantize
from ..quantization.quantized_file import write_quantized
from ..quantization.quantized_graph import QuantizedGraph
from ..quantization.settings import QuantizationSettings
from ..runtimes.openvino_session import convert_onnx, read_model
from .onnx_files import describe, write_onnx
from .quantization import quantize_onnx

try:
    import onnx
    import openvino
except ImportError as error:
    raise ImportError(f"{error}; exports need the extra 'deploy': pip install -e '.[deploy]'") from error


def write_exported(
    graph: ImageGraph,
    info: ModelInfo,
    path: Path,
    example_size: tuple[int, int],
    calibration: Sequence[np.ndarray],
    quantization: QuantizationSettings | None = None,
    search: Path | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> QuantizedGraph | None:
    """Write a graph in the precision that its description names.

    Every format begins as ONNX, int8 included: a quantised file of one format computes what that of the other does.

    Args:
        graph: From `build_graph`.
        info: Its description.
        path: `.onnx` or `.xml`, in an existing folder.
        example_size: Height and width to trace with.
        calibration: (B, H, W, 3) uint8 images, for int8.
        quantization: How int8 is calibrated; None: by NNCF.
        search: Folder in which a calibration that is interrupted goes on.
        report: Is told about each step.

    Returns:
        What the file computes, if it was quantised here.

    Raises:
        ValueError: The network has something that ONNX has not, or there are too few images to calibrate.
    """
    if isinstance(graph, SegmentationGraph) and path.suffix == '.xml':
        graph.by_maximum = (CELLS, PIXELS) if info.precision == 'fp32' else (CELLS,)
    quantized = None
    if info.precision == 'int8' and quantization is not None:
        quantized = quantize(graph, calibration, quantization, search, report)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        onnx_path = path if path.suffix == '.onnx' else Path(folder, 'graph.onnx')
        if quantized is not None:
            write_quantized(quantized, info, onnx_path, example_size)
        elif info.precision == 'int8':
            write_onnx(graph, info, Path(folder, 'float.onnx'), example_size)
            quantize_onnx(Path(folder, 'float.onnx'), onnx_path, calibration, info.weight_bits)
        else:
            write_onnx(graph, info, onnx_path, example_size)
        if path.suffix == '.xml':
            convert_onnx(onnx_path, path, info.to_json(), half_weights=info.precision != 'fp32')
    return quantized


def write_description(path: Path, info: ModelInfo) -> None:
    """Replace the description in a file's metadata; the graph stays as it is."""
    if path.suffix == '.onnx':
        model = onnx.load(path)
        describe(model, info)
        onnx.save(model, path)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        model = read_model(path)
        model.set_rt_info(info.to_json(), [KEY])
        openvino.save_model(model, Path(folder, path.name), compress_to_fp16=False)
        del model  # it reads the weights from the file that is replaced now
        move_exported(Path(folder, path.name), path)


def move_exported(path: Path, out: Path) -> int:
    """Give a file its final name, on the same disk; returns the size in bytes.

    Of an `.xml` and its `.bin`, the old `.xml` goes first and the new one comes last: whoever is killed meanwhile
    leaves no graph beside the weights of another.
    """
    files = [path.with_suffix('.bin'), path] if path.suffix == '.xml' else [path]
    size = sum(file.stat().st_size for file in files)
    if len(files) > 1:
        out.unlink(missing_ok=True)
    for file in files:
        file.replace(out.with_suffix(file.suffix))
    return size
