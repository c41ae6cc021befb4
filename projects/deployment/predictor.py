"""A model in any runtime, from images to predictions."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from projects.command_line import PRECISIONS, UsageError
from projects.reporting.notices import say_once

from .model_info import ModelInfo
from .predictions import (
    Detections,
    Prediction,
    Segmentation,
    content_size,
    crop_prediction,
    fit_image,
    labels_of,
    rescale_detections,
    resize_segmentation,
)
from .qgis import QGIS, QgisSession
from .runtimes import BY_SUFFIX, OPENED_BY, open_file_session
from .runtimes.descriptions import read_info
from .runtimes.processor import exact_weight_bits

if TYPE_CHECKING:
    from mmengine.config import Config


class Session(Protocol):
    """A graph that is ready to run."""

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name. Threads may call at the same time."""


class Predictor:
    """Calls a graph and takes its outputs apart.

    Args:
        session: The graph: images (B, H, W, 3) uint8 RGB to `probabilities` (B, C, H, W) or `labels` (B, H, W) of a
            segmentor; to `boxes` (N, 4), `scores` (N,), `labels` (N,), `image_indices` (N,) and, with masks, `masks`
            (N, h, w), with offsets `offsets` (N, 2) and `heights` (N,) of a detector, for all images together.
        info: What the graph is.
    """

    def __init__(self, session: Session, info: ModelInfo) -> None:
        self.session, self.info = session, info

    def __call__(self, images: np.ndarray) -> list[Prediction]:
        """Predict images of one size, in the network's own pixels.

        Args:
            images: (B, H, W, 3) uint8 RGB, at the scale that the network expects.

        Returns:
            One prediction per image, at (H, W).

        Raises:
            ValueError: The graph is fixed to another size or batch.
        """
        self._check(images)
        outputs = self.session(images)
        if 'probabilities' in outputs:
            return [Segmentation(labels_of(one, self.info), one) for one in outputs['probabilities']]
        if 'scores' not in outputs:
            kind = np.uint8 if len(self.info.classes) <= 256 else np.uint16
            return [Segmentation(one) for one in outputs['labels'].astype(kind)]
        optional = [outputs.get(name) for name in ('masks', 'offsets', 'heights')]
        everything = Detections(outputs['boxes'], outputs['scores'], outputs['labels'], *optional)
        chosen = [np.flatnonzero(outputs['image_indices'] == index) for index in range(len(images))]
        return [everything.select(one[np.argsort(-outputs['scores'][one], kind='stable')]) for one in chosen]

    def predict_image(self, image: np.ndarray) -> Prediction:
        """Predict one image, (H, W, 3) uint8 RGB, as the recipe does: resized, predicted, and brought back.

        For a graph of fixed size, an image whose proportions the recipe keeps is padded (see `fit_image`).
        """
        size, content = image.shape[:2], content_size(self.info, image.shape[:2])
        prediction = crop_prediction(self.predict_fitted(fit_image(image, self.info)), content)
        if isinstance(prediction, Segmentation):
            return resize_segmentation(prediction, size, self.info)
        return rescale_detections(prediction, content, size)

    def predict_fitted(self, image: np.ndarray) -> Prediction:
        """Predict one image at the network's scale, whatever number of images the graph is fixed to."""
        return self(np.repeat(image[None], self.info.batch_size or 1, axis=0))[0]

    def _check(self, images: np.ndarray) -> None:
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f'images {images.dtype} {images.shape}: expected uint8 (B, H, W, 3), RGB')
        size, batch_size = self.info.input_size, self.info.batch_size
        if size is not None and images.shape[1:3] != size:
            raise ValueError(
                f'images of {images.shape[1]}x{images.shape[2]} px: {self.info.config} was exported for '
                f'{size[0]}x{size[1]} px alone; export it with --dynamic or --size, or resize the images'
            )
        if batch_size is not None and len(images) != batch_size:
            raise ValueError(
                f'{len(images)} images at once: {self.info.config} was exported for {batch_size}; export it with '
                '--dynamic or --batch-size'
            )


def open_predictor(
    model: 'str | Path | Config',
    checkpoint: str | Path | None = None,
    *,
    runtime: str | None = None,
    device: str = 'cpu',
    precision: str | None = None,
    threads: int | None = None,
    output: str = 'probabilities',
) -> Predictor:
    """Open a config with its checkpoint, or an exported file.

    Args:
        model: A config or its file (`.py`), an exported `.onnx` or `.xml` file, or one on the hub, `hf://USER/NAME`.
        checkpoint: Weights, for a config alone; None: as the config initialises them.
        runtime: One of `RUNTIMES`; None: by the file's name, see `BY_SUFFIX`.
        device: 'cpu' or 'cuda'; OpenVINO runs on the processor alone.
        precision: One of `PRECISIONS` to compute in; None: what the file was exported for, fp32 for a config.
        threads: Threads of the processor; None: the runtime's own choice.
        output: 'probabilities' or 'labels', of a segmentor from a config; an exported file has what it was made with.

    Raises:
        FileNotFoundError: There is no such file.
        UsageError: A runtime that cannot run such a file, device or precision.
        ImportError: The runtime is not installed.
    """
    if str(model).startswith('hf://'):
        from .hub import from_pretrained

        model = from_pretrained(str(model))
    path = Path(model if isinstance(model, str | Path) else model.filename)
    runtime = runtime or BY_SUFFIX.get(path.suffix)
    if runtime not in OPENED_BY or path.suffix not in OPENED_BY[runtime]:
        expected = '; '.join(f'{name} runs {" and ".join(suffixes)}' for name, suffixes in OPENED_BY.items())
        raise UsageError(f'runtime {runtime or "by name"} and {path.name}: {expected}')
    if device not in ('cpu', 'cuda') or (device == 'cuda' and runtime == 'openvino'):
        raise UsageError(f'device {device!r} with {runtime}: expected cpu, or cuda with another runtime than openvino')
    if precision not in (None, *PRECISIONS):
        raise UsageError(f'precision {precision!r}: expected fp32, bf16 or fp16; int8 is what files are exported in')
    if threads is not None and threads < 1:
        raise UsageError(f'threads {threads}: expected 1 or more')
    if path.suffix != '.py':
        if checkpoint is not None:
            raise UsageError(f'{path.name} holds its weights; a checkpoint ({checkpoint}) belongs to a config')
        return _open_exported(path, runtime, device, precision, threads)

    from projects.training.config import load_config

    from .inference_graphs import build_graph, load_model
    from .runtimes.torch_session import TorchSession, check_device

    check_device(device, precision or 'fp32')  # before weights are fetched
    cfg = load_config(path) if isinstance(model, str | Path) else model
    info = dataclasses.replace(ModelInfo.from_config(cfg), precision=precision or 'fp32', output=output)
    graph = build_graph(load_model(cfg, checkpoint), info)
    session = TorchSession(graph, device, info.precision, compiled=runtime == 'compile', threads=threads)
    return Predictor(session, info)


def _open_exported(path: Path, runtime: str, device: str, precision: str | None, threads: int | None) -> Predictor:
    info = read_info(path)
    if info.precision == 'int8' and device == 'cpu' and info.weight_bits > exact_weight_bits():
        say_once(
            f'{path} has weights of {info.weight_bits} bits, of which this processor, without VNNI, lets sums '
            'saturate: results are off. Export it with --weight-bits 7'
        )
    if runtime == 'openvino' and info.precision != 'int8':
        precision = precision or info.precision
        info = dataclasses.replace(info, precision=precision)
    elif runtime != 'openvino' and precision not in (None, info.precision):
        raise UsageError(f'{path.name} computes in {info.precision}; for {precision}, export it with --precision')
    session = open_file_session(runtime, path, device, precision, threads)
    return Predictor(finished(session, info), dataclasses.replace(info, output=info.found))


def finished(session: Session, info: ModelInfo) -> Session:
    """A session that gives what `Predictor` takes: logits that leave a graph are resized, and labels found.

    Files for QGIS are given tiles, and what they say is taken apart.
    """
    if info.made_for == QGIS:
        return QgisSession(session, info)
    if info.output != 'logits':
        return session
    from .runtimes.full_size import FullSizeSession

    return FullSizeSession(session, info)
