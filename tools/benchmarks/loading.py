"""Time and size of a training sample of COCO, as this project loads it and as mmdet does.

    python tools/benchmarks/loading.py configs/shvit_maskrcnn_coco.py

Images are 640x480 px with 7 objects each, the mean of COCO, or `--objects`; of the sizes, corners and positions that
random blobs have. Both pipelines take turns, image by image, on one thread; medians.
"""

import argparse
import pickle
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, DefaultScope

from projects.reporting.tables import Table
from projects.training.config import load_config

HEIGHT, WIDTH, CORNERS = 480, 640, 40


def main() -> None:
    """Time both, and print a table."""
    parser = argparse.ArgumentParser(description='Time the loading of training samples.')
    parser.add_argument('config')
    parser.add_argument('--objects', type=int, default=7)
    parser.add_argument('--images', type=int, default=24)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    pipeline = load_config(args.config).train_dataloader.dataset.pipeline
    pipelines = {'this project': pipeline, 'mmdet': plain(pipeline)}
    with DefaultScope.overwrite_default_scope('mmdet'), tempfile.TemporaryDirectory() as folder:
        built = {name: [TRANSFORMS.build(step) for step in steps] for name, steps in pipelines.items()}
        times_ms: dict[tuple[str, str], list[float]] = defaultdict(list)
        sizes_mb: dict[str, list[float]] = defaultdict(list)
        for index in range(args.images):
            described = sample(Path(folder, f'{index}.jpg'), args.objects, index)
            for name, steps in built.items():
                results = {**described, 'instances': [dict(one) for one in described['instances']]}
                np.random.seed(index)
                for step in steps:
                    start = time.perf_counter()
                    results = step(results)
                    times_ms[name, type(step).__name__.replace('LoadInstances', 'LoadAnnotations')].append(
                        1e3 * (time.perf_counter() - start)
                    )
                start = time.perf_counter()
                sizes_mb[name].append(len(pickle.dumps(results)) / 1e6)
                times_ms[name, 'pickle'].append(1e3 * (time.perf_counter() - start))
    stages = dict.fromkeys(stage.replace('LoadImageFromFile', 'LoadImage') for _, stage in times_ms)
    rows = []
    for name in built:
        of_stage = {
            stage: float(np.median(found))
            for (owner, full), found in times_ms.items()
            if owner == name
            for stage in [full.replace('LoadImageFromFile', 'LoadImage')]
        }
        total = sum(of_stage.values())
        shown = [f'{of_stage.get(stage, 0):.1f}' for stage in stages]
        rows.append([name, *shown, f'{total:.1f}', f'{1e3 / total:.0f}', f'{np.median(sizes_mb[name]):.1f}'])
    print(Table('', ['pipeline', *stages, 'ms', 'images/s', 'MB'], rows).text())


def plain(pipeline: list[Config]) -> list[dict[str, Any]]:
    """The same pipeline of mmdet's own transforms."""
    ours = {
        'LoadImage': {'type': 'LoadImageFromFile'},
        'LoadInstances': {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    }
    return [ours.get(step['type'], step) for step in pipeline]


def sample(path: Path, number: int, seed: int) -> dict[str, Any]:
    """What a data set gives its pipeline: an image of noise, and blobs."""
    random = np.random.default_rng(seed)
    small = random.integers(256, size=(HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
    instances = []
    for _ in range(number):
        radius = np.exp(random.uniform(np.log(10), np.log(150)))
        center = random.uniform((0, 0), (WIDTH, HEIGHT))
        angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
        radii = radius * random.uniform(0.6, 1.0, CORNERS)
        corners = center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        corners = np.clip(corners, 0, (WIDTH, HEIGHT))
        box = [*corners.min(0), *corners.max(0)]
        instances.append({'bbox': box, 'bbox_label': 0, 'ignore_flag': 0, 'mask': [corners.ravel().tolist()]})
    return {'img_path': str(path), 'img_id': seed, 'height': HEIGHT, 'width': WIDTH, 'instances': instances}


if __name__ == '__main__':
    main()
