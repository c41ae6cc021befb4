"""Verification of a file: on images as they come, at other sizes, and without thresholds where nothing passes them."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..inference_graphs import build_graph
from ..model_info import ModelInfo
from ..predictor import open_predictor
from ..quantization.agreement import site_deviations
from ..quantization.quantized_graph import QuantizedGraph
from ..quantization.settings import QuantizationSettings
from ..runtimes import BY_SUFFIX, open_file_session
from ..runtimes.descriptions import FORMATS
from .calibration_images import NamedImage
from .comparison import verify
from .detection_matching import Cutoffs
from .exported_file import write_exported
from .pytorch_reference import PyTorchReference
from .verification import BOUNDS, Verification

MIN_SIDE_PX = 64  # of the other size that a graph of open size is verified at


def write(
    model: Any,
    info: ModelInfo,
    path: Path,
    images: Sequence[NamedImage],
    calibration: Sequence[NamedImage],
    quantization: QuantizationSettings | None = None,
    search: Path | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> QuantizedGraph | None:
    """Write a model as its description says, see `write_exported`; `build_graph` changes heads, hence the copy."""
    graph = build_graph(copy.deepcopy(model), info)
    batches = [batch for _, batch in batches_of(calibration, info)]
    return write_exported(graph, info, path, images[0].pixels.shape[:2], batches, quantization, search, report)


def verify_file(reference: PyTorchReference, path: Path, info: ModelInfo, images: Sequence[NamedImage]) -> Verification:
    """Compare a file with the network in PyTorch, in batches as the file takes them.

    Args:
        reference: The network.
        path: The file.
        info: Its description.
        images: At the size that it takes.

    Raises:
        ValueError: It fails at other sizes or numbers of images, which it was to leave open.
    """
    exported = open_predictor(path)
    batches = list(batches_of(images, info))
    if info.input_size is None:
        others = _other_shapes(images[0])
        try:
            for _, batch in others:
                exported(batch)
        except Exception as error:  # runtimes have exceptions of their own
            raise ValueError(
                f'{info.config} cannot leave its sizes open: the graph runs at {images[0].pixels.shape[:2]}, not for '
                f'images {batch.shape}: {error}. Export it with --size HxW instead of --dynamic'
            ) from error
        batches += others
    test_cfg = reference.model.test_cfg
    return verify(reference, exported, batches, info, BOUNDS[info.precision], cutoffs_of(test_cfg))


def verify_sites(quantized: QuantizedGraph, info: ModelInfo, image: NamedImage, format_name: str) -> dict[str, float]:
    """How far a format's runtime strays from the simulation at each site, see `site_deviations`.

    In what a whole network says in few bits a wrong kernel may hide behind the rounding; here it cannot.

    Args:
        quantized: What was written.
        info: Its description.
        image: That all sites read.
        format_name: Of `FORMATS`.
    """
    runtime = BY_SUFFIX[FORMATS[format_name]]
    precision = 'fp32' if runtime == 'openvino' else None
    return site_deviations(
        quantized, info, image.pixels[None], lambda path: open_file_session(runtime, path, precision=precision)
    )


def verify_twin(
    model: Any,
    reference: PyTorchReference,
    path: Path,
    info: ModelInfo,
    images: Sequence[NamedImage],
    calibration: Sequence[NamedImage],
    quantization: QuantizationSettings | None = None,
    search: Path | None = None,
) -> Verification:
    """Verify the same network with an output that says more: all detections, or probabilities.

    An untrained detector detects nothing, an untrained segmentor says one class everywhere: such files cannot differ.
    What the search of the file has found holds of the twin.
    """
    twin = path.with_name(f'twin-{path.name}')
    if info.is_segmentor:
        telling = dataclasses.replace(info, output='probabilities')
        write(model, telling, twin, images, calibration, quantization, search)
        verification = verify_file(reference, twin, telling, images)
        verification.note = 'by the probabilities, as the network says one class on all of these images'
        return verification
    threshold = cutoffs_of(model.test_cfg).score
    with _without_threshold(model), _without_threshold(reference.model):
        write(model, info, twin, images, calibration, quantization, search)
        verification = verify_file(reference, twin, info, images)
    verification.note = f'at score threshold 0, as too little is detected above {threshold} on these images'
    return verification


@contextmanager
def _without_threshold(detector: Any) -> Iterator[None]:
    """A detector that reports its best detections, however unlikely they are."""
    if hasattr(detector, 'roi_head'):
        configs = [detector.test_cfg.rcnn, detector.roi_head.test_cfg]
    else:
        configs = [detector.test_cfg, detector.bbox_head.test_cfg]
    threshold = configs[0].score_thr
    for cfg in configs:
        cfg.score_thr = 0.0
    try:
        yield
    finally:
        for cfg in configs:
            cfg.score_thr = threshold


def cutoffs_of(test_cfg: Any) -> Cutoffs:
    """Limits of a detector's last steps, from its `test_cfg`."""
    cfg: Any = (test_cfg or {}).get('rcnn', test_cfg)
    if not cfg or 'score_thr' not in cfg:  # a segmentor
        return Cutoffs()
    return Cutoffs(cfg.score_thr, cfg.nms.iou_threshold, cfg.max_per_img)


def batches_of(images: Sequence[NamedImage], info: ModelInfo) -> Iterator[tuple[list[str], np.ndarray]]:
    """Names and pixels, as many at once as the graph takes; the last one is repeated to fill a batch."""
    count = info.batch_size or 1
    by_size: dict[tuple[int, ...], list[NamedImage]] = {}
    for image in images:
        by_size.setdefault(image.pixels.shape, []).append(image)
    for same in by_size.values():
        for start in range(0, len(same), count):
            chosen = same[start : start + count]
            chosen = chosen + [chosen[-1]] * (count - len(chosen))
            yield [image.name for image in chosen], np.stack([image.pixels for image in chosen])


def _other_shapes(image: NamedImage) -> list[tuple[list[str], np.ndarray]]:
    """Two images at once, and one of odd height and width: what a graph must take that leaves its sizes open."""
    pixels = image.pixels
    height, width = (max(int(side * 0.8) | 1, MIN_SIDE_PX + 1) for side in pixels.shape[:2])
    cut = np.ascontiguousarray(pixels[:height, :width])
    two = np.stack([pixels, pixels[:, ::-1]])
    return [
        ([image.name, f'{image.name}, mirrored'], two),
        ([f'{image.name}, {cut.shape[0]}x{cut.shape[1]} px of it'], cut[None]),
    ]
