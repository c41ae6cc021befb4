"""How large a pixel is on the ground, as data sets say it."""

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..model_info import ModelInfo
from ..predictions import fit_size


def known_gsd_m(cfg: Config, info: ModelInfo) -> float | None:
    """Ground sample distance of what a network is given of its config's test set, in metres per pixel.

    The first that says one is asked: `gsd_m` of the images of the annotation file (their median), of the
    `parameters.json` beside the tiles, of a metric. Where the recipe resizes images, pixels grow with them.

    Args:
        cfg: The config; its data need not be there.
        info: How images are resized; its `input_size` does not count.

    Returns:
        None if nothing says it.

    Raises:
        ValueError: A file is no JSON.
    """
    dataset = cfg.test_dataloader.dataset
    root = Path(dataset.get('data_root') or '.')
    images = _images(root / dataset.ann_file) if dataset.get('ann_file') else []
    made_with = _json(root / 'parameters.json')
    evaluators = cfg.get('test_evaluator') or []
    metrics = evaluators if isinstance(evaluators, list) else [evaluators]
    shrunk = _shrunk(info, images, made_with)
    of_images = [image['gsd_m'] for image in images if image.get('gsd_m')]
    candidates = [
        statistics.median(of_images) if of_images else None,
        made_with.get('gsd_m'),
        *(metric.get('gsd_m') for metric in metrics),
    ]
    known = next((gsd_m for gsd_m in candidates if gsd_m), None)
    return None if known is None or shrunk is None else known * shrunk


def _shrunk(info: ModelInfo, images: list[dict[str, Any]], made_with: dict[str, Any]) -> float | None:
    """Of how many pixels of an image the recipe makes one; None: unknown."""
    if info.scale is None:
        return 1.0
    sizes = [(image['height'], image['width']) for image in images if 'height' in image and 'width' in image]
    if not sizes and 'tile_px' in made_with:
        sizes = [(made_with['tile_px'],) * 2]
    if not sizes:
        return None
    free = dataclasses.replace(info, input_size=None)
    return statistics.median(max(size) / max(fit_size(free, size)) for size in sizes)


def _images(file: Path) -> list[dict[str, Any]]:
    content = _json(file) if file.suffix == '.json' else {}
    return content.get('images', [])


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{file} is no JSON: {error}') from error
    return content if isinstance(content, dict) else {}
