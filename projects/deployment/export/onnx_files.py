"""Graphs as ONNX files."""

import warnings
from pathlib import Path
from typing import Any

import torch

from projects.storage.atomic_files import replacing

from ..inference_graphs.qgis_tiles import QgisGraph
from ..model_info import KEY, ModelInfo
from ..qgis import QGIS, plugin_metadata

try:
    import onnx
except ImportError as error:
    raise ImportError(f"{error}; exports need the extra 'deploy': pip install -e '.[deploy]'") from error

OPSET = 17


def write_onnx(graph: Any, info: ModelInfo, path: str | Path, example_size: tuple[int, int]) -> None:
    """Trace a graph and write it, with its description, as ONNX; the file appears complete or not at all.

    Height, width and number of images are free where `info` leaves them open. A file for QGIS takes tiles, see `qgis`.

    Args:
        graph: From `build_graph`, or a `QuantizedGraph`.
        info: Its description; `input_size` and `batch_size` are what it is fixed to.
        path: `.onnx` in an existing folder.
        example_size: Height and width to trace with, if `input_size` leaves them open.

    Raises:
        ValueError: The network uses an operator that ONNX has not.
    """
    height, width = info.input_size or example_size
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (info.batch_size or 1, height, width, 3), dtype=torch.uint8, generator=generator)
    axes: dict[int, str] = {} if info.batch_size else {0: 'batch'}
    if info.input_size is None:
        axes |= {1: 'height', 2: 'width'}
    if info.made_for == QGIS:
        graph, images = QgisGraph(graph, info), images.permute(0, 3, 1, 2) / 255
    names = list(graph.output_names)
    with replacing(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')  # of the tracer, about sizes that are constants in fixed graphs
        try:
            torch.onnx.export(
                graph,
                (images,),
                str(temporary),
                dynamo=False,  # the newer exporter knows neither NMS nor RoIAlign (pytorch/vision#9462)
                opset_version=OPSET,
                input_names=['images'],
                output_names=names,
                dynamic_axes={'images': axes} if axes else None,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            raise ValueError(f'{info.config} cannot be exported to ONNX: {error}') from error
        model = onnx.load(temporary)
        describe(model, info)
        onnx.save(model, temporary)


def describe(model: Any, info: ModelInfo) -> None:
    """Write a description, and what plugins of QGIS ask for, into the metadata of an `onnx.ModelProto`."""
    onnx.helper.set_model_props(model, {KEY: info.to_json(), **plugin_metadata(info)})
