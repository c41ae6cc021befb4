"""A model in any runtime, from images to predictions."""

from pathlib import Path
from typing import Protocol

import numpy as np

from .model_info import ModelInfo
from .predictions import (
    Detections,
    Prediction,
    Segmentation,
    fit_size,
    labels_of,
    rescale_detections,
    resize_image,
    resize_segmentation,
)

RUNTIMES = ('eager', 'compile', 'onnxruntime', 'openvino')


class Session(Protocol):
    """A graph that is ready to run."""

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name. Threads may call at the same time."""


class Predictor:
    """Calls a graph and takes its outputs apart.

    Args:
        session: The graph: images (B, H, W, 3) uint8 RGB to `probabilities` (B, C, H, W) or `labels` (B, H, W) of a
            segmentor; to `boxes` (N, 4), `scores` (N,), `labels` (N,), `image_indices` (N,) and, with masks, `masks`
            (N, h, w) of a detector, for all images together.
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
        everything = Detections(outputs['boxes'], outputs['scores'], outputs['labels'], outputs.get('masks'))
        chosen = [np.flatnonzero(outputs['image_indices'] == index) for index in range(len(images))]
        return [everything.select(one[np.argsort(-outputs['scores'][one], kind='stable')]) for one in chosen]

    def predict_image(self, image: np.ndarray) -> Prediction:
        """Predict one image, (H, W, 3) uint8 RGB, as the recipe does: resized, predicted, and brought back."""
        size = image.shape[:2]
        resized = resize_image(image, fit_size(self.info, size))
        prediction = self(resized[None])[0]
        if isinstance(prediction, Segmentation):
            return resize_segmentation(prediction, size, self.info)
        return rescale_detections(prediction, resized.shape[:2], size)

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
    model: str | Path,
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
        model: A config (`.py`), or an exported `.onnx` or `.xml` file.
        checkpoint: Weights, for a config alone; None: as the config initialises them.
        runtime: One of `RUNTIMES`; None: by the file's name ('eager' for a config, 'onnxruntime' for `.onnx`,
            'openvino' for `.xml`; OpenVINO also runs `.onnx`).
        device: 'cpu' or 'cuda'.
        precision: 'fp32', 'bf16' or 'fp16' to compute in; None: what the file was exported for, fp32 for a config.
        threads: Threads of the processor; None: the runtime's own choice.
        output: 'probabilities' or 'labels', of a segmentor from a config; an exported file has what it was made with.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A runtime that cannot run such a file, device or precision.
    """
    raise NotImplementedError
