"""Time of COCO's evaluation of boxes and masks, beside mmdet's by pycocotools.

    python tools/benchmarks/coco_scoring.py

Images of 640x480 px with 7 objects each; 36 detections in each, some of them near objects. Both begin with the logits
of 28x28 cells that a mask head gives, in turns, image by image, in one process; time of the processor, pasting (each by
its own head), collecting (masks become run-length codes) and scoring (medians of rounds in turns) apart.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from projects.reporting.tables import Table
from projects.training.coco_scores import CocoScores
from projects.training.instance_masks import PlacedMaskHead

HEIGHT, WIDTH, OBJECTS, DETECTIONS, CLASSES, CORNERS = 480, 640, 7, 36, 80, 30
CELLS, SURE = 28, 8.0  # of a mask, and logits inside of it


def main() -> None:
    """Time both, and print a table."""
    parser = argparse.ArgumentParser(description="Time COCO's evaluation.")
    parser.add_argument('--images', type=int, default=600)
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    from mmdet.evaluation import CocoMetric  # after projects.training, without which it is not imported
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead

    torch.set_num_threads(1)
    options = {'num_convs': 0, 'in_channels': 1, 'conv_out_channels': 1, 'class_agnostic': True}
    heads = [kind(**options) for kind in (PlacedMaskHead, FCNMaskHead)]

    random = np.random.default_rng(0)
    objects = [[blob(random) for _ in range(OBJECTS)] for _ in range(args.images)]
    with tempfile.TemporaryDirectory() as folder:
        file = annotations(objects, Path(folder, 'instances.json'))
        metrics = [kind(str(file), metric=['bbox', 'segm']) for kind in (CocoScores, CocoMetric)]
        pasting, collecting = np.zeros((2, len(metrics)))
        for metric in metrics:
            metric.dataset_meta = {'classes': [f'class {index}' for index in range(CLASSES)]}
        for index, one in enumerate(objects):
            found, logits = detect(one, index, random)
            for which in (0, 1) if index % 2 else (1, 0):  # the second finds the logits in the processor's cache
                taken, masks = seconds(paste, heads[which], found, logits)
                pasting[which] += taken
                sample = {
                    'img_id': index + 1,
                    'ori_shape': (HEIGHT, WIDTH),
                    'pred_instances': {**found, 'masks': masks},
                }
                collecting[which] += seconds(metrics[which].process, {}, [sample])[0]
        rounds = [[seconds(one.compute_metrics, one.results) for one in metrics] for _ in range(args.rounds)]
    rows = []
    for metric, pasted, collected, scored in zip(metrics, pasting, collecting, zip(*rounds, strict=True), strict=True):
        scoring, scores = np.median([one for one, _ in scored]), scored[0][1]
        taken = (f'{value:.2f}' for value in (pasted, collected, scoring, pasted + collected + scoring))
        aps = (f'{100 * scores[name]:.1f}' for name in ('bbox_mAP', 'segm_mAP'))  # mmdet rounds its own to that
        rows.append([type(metric).__name__, *taken, *aps])
    print(
        Table(
            '', ['evaluator', 'pasting, s', 'collecting, s', 'scoring, s', 'all, s', 'box AP', 'mask AP'], rows
        ).text()
    )


def seconds(call: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Those of the processor that a call takes, and what it gives."""
    begin = time.process_time()
    result = call(*arguments)
    return time.process_time() - begin, result


def blob(random: np.random.Generator) -> np.ndarray:
    """Corners (N, 2) in pixels."""
    radius = np.exp(random.uniform(np.log(12), np.log(150)))
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    radii = radius * random.uniform(0.6, 1.0, CORNERS)
    center = random.uniform((40, 40), (WIDTH - 40, HEIGHT - 40))
    corners = center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.clip(corners, 0, (WIDTH - 1, HEIGHT - 1))


def detect(objects: list[np.ndarray], index: int, random: np.random.Generator) -> tuple[dict[str, torch.Tensor], Any]:
    """Detections, each object twice, a few pixels off, and others; and (N, 1, 28, 28) logits of their masks."""
    found = [one + random.normal(0, 3, 2) for one in objects * 2]
    found += [blob(random) for _ in range(DETECTIONS - len(found))]
    boxes = np.array([[*one.min(0), *one.max(0)] for one in found], np.float32)
    masks = np.zeros((DETECTIONS, 1, CELLS, CELLS), np.uint8)
    for (mask,), corners, box in zip(masks, found, boxes, strict=True):
        cells = (corners - box[:2]) / np.maximum(box[2:] - box[:2], 1) * (CELLS - 1)
        cv2.fillPoly(mask, [cells.round().astype(np.int32)], 1)
    instances = {
        'bboxes': torch.from_numpy(boxes),
        'scores': torch.from_numpy(random.random(DETECTIONS).astype(np.float32)),
        'labels': torch.tensor([class_of(place % OBJECTS, index) for place in range(DETECTIONS)]),
    }
    return instances, SURE * (2 * torch.from_numpy(masks.astype(np.float32)) - 1)


def paste(head: Any, found: dict[str, torch.Tensor], logits: torch.Tensor) -> Any:
    """What a mask head gives for the image."""
    results, meta = InstanceData(**found), {'scale_factor': (1.0, 1.0), 'ori_shape': (HEIGHT, WIDTH)}
    return head.predict_by_feat([logits], [results], [meta], ConfigDict(mask_thr_binary=0.5))[0].masks


def class_of(place: int, image: int) -> int:
    """The class of an object."""
    return (7 * image + 11 * place) % CLASSES


def annotations(objects: list[list[np.ndarray]], file: Path) -> Path:
    """Write COCO's annotation file."""
    found = []
    for image, corners_of in enumerate(objects):
        for place, corners in enumerate(corners_of):
            left, top, right, bottom = map(float, (*corners.min(0), *corners.max(0)))
            found.append(
                {
                    'id': len(found) + 1,
                    'image_id': image + 1,
                    'category_id': class_of(place, image) + 1,
                    'bbox': [left, top, right - left, bottom - top],
                    'area': float(abs(cv2.contourArea(corners.astype(np.float32)))),
                    'iscrowd': 0,
                    'segmentation': [corners.ravel().tolist()],
                }
            )
    content = {
        'images': [
            {'id': image + 1, 'width': WIDTH, 'height': HEIGHT, 'file_name': f'{image}.jpg'}
            for image in range(len(objects))
        ],
        'annotations': found,
        'categories': [{'id': index + 1, 'name': f'class {index}'} for index in range(CLASSES)],
    }
    file.write_text(json.dumps(content), encoding='utf-8')
    return file


if __name__ == '__main__':
    main()
