"""Exported files beside OpenMMLab's own inference: from one image to labels or instances, and whether they agree.

python tools/benchmarks/exports.py configs/shvit_maskrcnn_coco.py CHECKPOINT FILE.xml FILE.onnx \
    --images data/sample/coco/val2017 --size 800x1280

Both sides take the same image, a mosaic of a folder's at the network's scale, and end with the same: labels of all
pixels, or boxes, scores and masks as large as the image. They take turns in one process, whose time on all its threads
stands beside that of the clock: it tells sides apart where other work runs, too.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import DictAction

from projects.deployment.export.detection_matching import match_detections
from projects.deployment.export.file_verification import cutoffs_of
from projects.deployment.export.pytorch_reference import PyTorchReference
from projects.deployment.inference_graphs import load_model
from projects.deployment.prediction.coco_results import paste_masks
from projects.deployment.predictions import Detections
from projects.deployment.predictor import Predictor, open_predictor
from projects.reporting.number_format import with_range
from projects.reporting.tables import Table
from projects.training.config import load_config
from projects.training.datasets import LoadImage
from projects.training.instance_masks import PlacedMasks

Side = Callable[[np.ndarray], Any]  # from an image (H, W, 3) uint8 RGB to labels or detections


def main() -> None:
    """Time all sides in turns, and print a table."""
    parser = argparse.ArgumentParser(description='Time exported files beside OpenMMLab.')
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('files', nargs='+', help='exported .onnx or .xml')
    parser.add_argument('--images', required=True, type=Path)
    parser.add_argument('--size', default='512x512', help='HEIGHTxWIDTH')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(load_config(args.config, args.cfg_options), args.checkpoint)
    image = mosaic(args.images, tuple(map(int, args.size.split('x'))))
    sides = {'OpenMMLab, eager fp32': openmmlab(model)}
    for file in args.files:
        predictor = open_predictor(file, threads=args.threads)
        sides[f'{Path(file).name}, {predictor.info.precision}'] = deployed(predictor)
    results = {name: side(image) for name, side in sides.items()}
    times_ms, busy_ms = {name: [] for name in sides}, {name: [] for name in sides}
    for turn in range(args.rounds):
        names = list(sides)[turn % len(sides) :] + list(sides)[: turn % len(sides)]
        for name in names:
            start, busy = time.perf_counter(), time.process_time()
            sides[name](image)
            times_ms[name].append((time.perf_counter() - start) * 1e3)
            busy_ms[name].append((time.process_time() - busy) * 1e3)

    rows = []
    reference = next(iter(sides))
    for name in sides:
        ratios = np.divide(times_ms[reference], times_ms[name])
        columns = times_ms[name], ratios, busy_ms[name]
        ranges = [with_range(*np.percentile(values, (25, 50, 75))) for values in columns]
        rows.append([name, *ranges, agreement(results[reference], results[name], model)])
    names = ['what', 'ms (quartiles)', 'times as fast (quartiles)', 'ms of processors (quartiles)', 'same']
    print(Table('', names, rows).text())


def mosaic(folder: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB, filled with the images of a folder."""
    canvas = np.zeros((*size, 3), dtype=np.uint8)
    files = sorted(path for path in folder.iterdir() if path.suffix in ('.jpg', '.png'))
    images = [LoadImage()({'img_path': str(path)})['img'][..., ::-1] for path in files]
    step = images[0].shape[0], images[0].shape[1]
    for number, (top, left) in enumerate(np.ndindex(-(-size[0] // step[0]), -(-size[1] // step[1]))):
        place = canvas[top * step[0] :, left * step[1] :]
        part = images[number % len(images)][: place.shape[0], : place.shape[1]]
        place[: part.shape[0], : part.shape[1]] = part
    return canvas


def openmmlab(model: Any) -> Side:
    """OpenMMLab's own inference, from an image to results."""
    reference = PyTorchReference(model)
    return lambda image: reference(image[None])[0]


def deployed(predictor: Predictor) -> Side:
    """An exported file, from an image to results."""

    def predict(image: np.ndarray) -> Any:
        found = predictor(image[None])[0]
        if not isinstance(found, Detections) or found.masks is None:
            return found
        masks = paste_masks(found, image.shape[:2], predictor.info.mask_threshold)
        whole = PlacedMasks(masks, *image.shape[:2]).to_ndarray()
        return Detections(found.boxes, found.scores, found.labels, whole)

    return predict


def agreement(reference: Any, other: Any, model: Any) -> str:
    """Equal pixels; or partners of the reference's detections at two IoUs."""
    if not isinstance(reference, Detections):
        return f'{(reference.labels == other.labels).mean():.3%} of the pixels'
    texts = []
    for least_iou, tolerance in ((0.99, 1e-3), (0.5, 0.1)):
        pairs = match_detections(reference, other, least_iou, tolerance, cutoffs_of(model.test_cfg)).pairs
        texts.append(f'{len(pairs)} at IoU {least_iou}')
    return f'{", ".join(texts)} of {len(reference.scores)}'


if __name__ == '__main__':
    main()
