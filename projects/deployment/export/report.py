"""What is told about an export: JSON, a model card, a picture of both predictions, and an item for STAC catalogs."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from projects.reporting.figures import hide_axes, new_figure, write_figure
from projects.reporting.palette import BLUE, VERMILLION, rgb
from projects.reporting.tables import Table
from projects.storage.atomic_files import write_file

from ..model_info import ModelInfo
from ..prediction.coco_results import InstanceMask, paste_masks
from ..prediction.drawing import draw_detections, draw_segmentation
from ..predictions import Detections, Prediction, Segmentation
from .detection_matching import match_detections
from .model_card import render
from .stac_item import stac_item
from .verified_export import Export

SHOWN = 3  # images in the picture
LEAST_SCORE = 0.3  # of detections that are drawn


def write_report(export: Export) -> list[Path]:
    """Write `FILE.json`, `FILE.md`, `FILE.png` and `FILE.stac.json` beside an exported file; returns their names."""
    paths = [export.path.with_name(f'{export.path.name}.{suffix}') for suffix in ('json', 'md', 'png')]
    content = describe(export)
    write_file(paths[0], json.dumps(content, indent=2))
    sites: list[str | Table] = (
        [] if export.quantization is None else [str(export.quantization), export.quantization.table()]
    )
    write_file(paths[1], render(content, export.info, paths[2].name, sites, export.license))
    _draw(export, paths[2])
    item = stac_item(
        export.info,
        export.path,
        paths,
        architecture=export.architecture,
        num_parameters=export.num_parameters,
        with_offsets=hasattr(getattr(export.reference.model, 'roi_head', None), 'offset_head'),
        license=export.license,
    )
    paths.append(export.path.with_name(f'{export.path.name}.stac.json'))
    write_file(paths[-1], json.dumps(item, indent=2))
    return paths


def describe(export: Export) -> dict[str, Any]:
    """Everything as numbers and names."""
    info, latency_ms = export.info, export.latency_ms
    return {
        'file': export.path.name,
        'config': info.config,
        'task': info.task,
        'architecture': export.architecture,
        'num_parameters': export.num_parameters,
        'precision': info.precision,
        'input_size': info.input_size,
        'batch_size': info.batch_size,
        'file_mib': round(export.file_bytes / 2**20, 2),
        'latency_ms': {name: round(value, 2) for name, value in latency_ms.items()},
        'speedup': round(latency_ms['pytorch'] / latency_ms['exported'], 2),
        'verification': export.verification.to_dict(),
        'scores': export.scores,
        **({} if export.quantization is None else {'quantization': export.quantization.to_dict()}),
    }


def _draw(export: Export, path: Path) -> None:
    """One row per image: PyTorch, the export, and in red what differs."""
    images = export.images[:SHOWN]
    figure = new_figure(18, 5 * len(images))
    for row, (name, pixels) in enumerate(images):
        batch = np.repeat(pixels[None], export.info.batch_size or 1, axis=0)
        first, second = export.reference(batch)[0], export.predictor(batch)[0]
        difference, text = _difference(pixels, first, second, export)
        panels = [
            (f'{name}: PyTorch', _picture(pixels, first, export.info)),
            (f'exported, {export.info.precision}', _picture(pixels, second, export.info)),
            (text, difference),
        ]
        for number, (title, picture) in enumerate(panels, start=3 * row + 1):
            axes = figure.add_subplot(len(images), 3, number, title=title)
            axes.imshow(picture)
            hide_axes(axes)
    write_figure(figure, path)


def _picture(pixels: np.ndarray, prediction: Prediction, info: ModelInfo) -> np.ndarray:
    if isinstance(prediction, Segmentation):
        return draw_segmentation(pixels, prediction.labels, info.classes, info.palette)
    shown = prediction.select(prediction.scores >= LEAST_SCORE)
    height, width = pixels.shape[:2]
    if shown.masks is not None and shown.masks.dtype == bool:  # PyTorch's, of the image
        place = slice(0, height), slice(0, width)
        masks: list[InstanceMask] | None = [InstanceMask(*place, mask) for mask in shown.masks]
    else:
        masks = paste_masks(shown, (height, width), info.mask_threshold)
    return draw_detections(pixels, shown, masks, info.classes, info.palette)


def _difference(pixels: np.ndarray, first: Prediction, second: Prediction, export: Export) -> tuple[np.ndarray, str]:
    """The image in grey: in red pixels of another class, or boxes of PyTorch alone; in blue those of the export."""
    picture = np.repeat(pixels.mean(axis=2, keepdims=True) * 0.4 + 130, 3, axis=2).astype(np.uint8)
    if isinstance(first, Segmentation):
        differ = first.labels != second.labels
        picture[differ] = rgb(VERMILLION)
        return picture, f'{differ.mean():.3%} of the pixels differ'
    assert isinstance(first, Detections)
    assert isinstance(second, Detections)
    bounds = export.verification.bounds
    matches = match_detections(first, second, bounds.iou, bounds.score, export.cutoffs)
    for boxes, color in ((first.boxes[matches.lost], VERMILLION), (second.boxes[matches.added], BLUE)):
        for left, top, right, bottom in boxes.round().astype(int).tolist():
            cv2.rectangle(picture, (left, top), (right, bottom), rgb(color))
    counts = f'{len(matches.lost)} lost, {len(matches.added)} added, {matches.ties} ties'
    return picture, f'{len(matches.pairs)} detections equal, {counts}'
