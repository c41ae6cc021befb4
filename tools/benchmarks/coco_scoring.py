"""Time of COCO's evaluation of boxes and masks, beside mmdet's by pycocotools.

    python tools/benchmarks/coco_scoring.py

Images of 640x480 px with 7 objects each; 36 detections in each, some of them near objects. Both evaluators take the
same detections in turns, image by image, in one process; time of the processor, collecting (masks become run-length
codes) and scoring (medians of rounds in turns) apart.
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

from projects.reporting.tables import Table
from projects.training.coco_scores import CocoScores

HEIGHT, WIDTH, OBJECTS, DETECTIONS, CLASSES, CORNERS = 480, 640, 7, 36, 80, 30


def main() -> None:
    """Time both, and print a table."""
    parser = argparse.ArgumentParser(description="Time COCO's evaluation.")
    parser.add_argument('--images', type=int, default=600)
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    from mmdet.evaluation import CocoMetric  # after projects.training, without which it is not imported

    random = np.random.default_rng(0)
    objects = [[blob(random) for _ in range(OBJECTS)] for _ in range(args.images)]
    with tempfile.TemporaryDirectory() as folder:
        file = annotations(objects, Path(folder, 'instances.json'))
        metrics = [kind(str(file), metric=['bbox', 'segm']) for kind in (CocoScores, CocoMetric)]
        collecting = np.zeros(len(metrics))
        for metric in metrics:
            metric.dataset_meta = {'classes': [f'class {index}' for index in range(CLASSES)]}
        for index, one in enumerate(objects):
            found = detect(one, index, random)
            for which in (0, 1) if index % 2 else (1, 0):  # the second finds the masks in the processor's cache
                collecting[which] += seconds(metrics[which].process, {}, [found])[0]
        rounds = [[seconds(one.compute_metrics, one.results) for one in metrics] for _ in range(args.rounds)]
    rows = []
    for metric, collected, scored in zip(metrics, collecting, zip(*rounds, strict=True), strict=True):
        scoring, scores = np.median([one for one, _ in scored]), scored[0][1]
        taken = (f'{value:.2f}' for value in (collected, scoring, collected + scoring))
        aps = (f'{100 * scores[name]:.1f}' for name in ('bbox_mAP', 'segm_mAP'))  # mmdet rounds its own to that
        rows.append([type(metric).__name__, *taken, *aps])
    print(Table('', ['evaluator', 'collecting, s', 'scoring, s', 'all, s', 'box AP', 'mask AP'], rows).text())


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


def detect(objects: list[np.ndarray], index: int, random: np.random.Generator) -> dict[str, Any]:
    """Detections: each object twice, a few pixels off, and others."""
    found = [one + random.normal(0, 3, 2) for one in objects * 2]
    found += [blob(random) for _ in range(DETECTIONS - len(found))]
    masks = np.zeros((DETECTIONS, HEIGHT, WIDTH), np.uint8)
    for mask, corners in zip(masks, found, strict=True):
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    instances = {
        'bboxes': torch.from_numpy(np.array([[*one.min(0), *one.max(0)] for one in found], np.float32)),
        'scores': torch.from_numpy(random.random(DETECTIONS).astype(np.float32)),
        'labels': torch.tensor([class_of(place % OBJECTS, index) for place in range(DETECTIONS)]),
        'masks': torch.from_numpy(masks.astype(bool)),
    }
    return {'img_id': index + 1, 'ori_shape': (HEIGHT, WIDTH), 'pred_instances': instances}


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
