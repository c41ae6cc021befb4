"""From a config to the file that is timed: the whole network as it is deployed, with random weights."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from projects.deployment.benchmark.subjects import benchmark_pixels, settle_batch_norms
from projects.deployment.export.exported_file import write_exported
from projects.deployment.export.settings import ExportSettings
from projects.deployment.inference_graphs import build_graph, load_model
from projects.deployment.inference_graphs.images import ImageGraph
from projects.deployment.model_info import ModelInfo
from projects.deployment.model_table.complexity import count_complexity
from projects.deployment.quantization.calibration import MIN_IMAGES
from projects.deployment.quantization.settings import QuantizationSettings
from projects.training.checkpoints import switch_off_pretrained

SUFFIX_OF = {'onnxruntime': '.onnx', 'openvino': '.xml'}
QUANTIZER = 'minmax'  # the fastest: what the ranges are makes no difference to the time
CERTAIN = 10.0  # added to a logit: a probability near 1


def graph_file(cfg: Config, path: Path, precision: str, size: tuple[int, int], output: str = 'labels') -> Path:
    """Write the whole network of a config, from pixels to labels or boxes, for one image; nothing is verified.

    Weights are random, batch norms have the statistics of the benchmark's images (`settle_batch_norms`), and int8 is
    calibrated on such images. Of an untrained detector no region is probable: one class is made so, lest the masks of
    as many instances as the test settings admit should cost nothing.

    Args:
        cfg: From `load_config`; checkpoints and pretrained weights that it names are not read.
        path: `.onnx` or `.xml`, in an existing folder.
        precision: One of `EXPORTED_PRECISIONS`.
        size: Height and width of the image in pixels.
        output: Of a segmentor, 'labels' or 'probabilities'.

    Returns:
        `path`.

    Raises:
        ValueError: The network cannot be built or exported, or the format has no such precision.
    """
    format_ = 'onnx' if path.suffix == '.onnx' else 'openvino'
    ExportSettings(format_, precision)  # refuses what the runtime does not compute in
    info = dataclasses.replace(ModelInfo.from_config(cfg), precision=precision, output=output)
    model = _random_model(cfg)
    if hasattr(model, 'roi_head'):
        with torch.no_grad():
            model.roi_head.bbox_head.fc_cls.bias[0] += CERTAIN
    return write_fused(build_graph(model, info), info, path, size)


def write_fused(graph: ImageGraph, info: ModelInfo, path: Path, size: tuple[int, int]) -> Path:
    """Settle the batch norms of a graph of random weights, fuse its backbone and write it; see `graph_file`."""
    is_int8 = info.precision == 'int8'
    quantization = QuantizationSettings(QUANTIZER, channelwise=False) if is_int8 else None
    pixels = benchmark_pixels(MIN_IMAGES if is_int8 else 2, size)
    settle_batch_norms(graph, torch.from_numpy(pixels[:2]))
    if hasattr(graph.backbone, 'fuse'):
        graph.backbone.fuse()
    info = dataclasses.replace(info, input_size=size, batch_size=1)
    calibration = [pixels[index : index + 1] for index in range(len(pixels))] if is_int8 else []
    write_exported(graph, info, path, size, calibration, quantization)
    return path


def multiply_adds(cfg: Config, size: tuple[int, int]) -> int:
    """Count multiply-adds of the whole network of a config for one image, as the model table does."""
    return count_complexity(_random_model(cfg), size).macs.total


def _random_model(cfg: Config) -> Any:
    cfg = copy.deepcopy(cfg)
    switch_off_pretrained(cfg.model)
    torch.manual_seed(0)
    return load_model(cfg)
