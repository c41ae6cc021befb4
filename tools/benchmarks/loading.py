"""Time and size of a training sample, and of a batch's normalisation, in this project and in mmdet or mmseg.

    python tools/benchmarks/loading.py configs/shvit_maskrcnn_coco.py
    python tools/benchmarks/loading.py configs/shvit_fpn_cityscapes.py --size 1024x2048

Images of COCO are 480x640 px with 7 objects each, its mean, or `--objects`; of the sizes, corners and positions that
random blobs have. Of segmentation, the blobs are areas of classes. Both pipelines take turns, image by image, from the
same seeds, on one thread; means of the time of the processor, without the first two images.
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
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope

from projects.command_line import image_size
from projects.reporting.tables import Table
from projects.training.config import load_config

CORNERS, BATCH_SIZE = 40, 2
CLASSES = 19
PLAIN = {  # what mmdet and mmseg have for what this project has
    'LoadImage': {'type': 'LoadImageFromFile'},
    'LoadInstances': {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    'LoadSegmentation': {'type': 'LoadAnnotations'},
    'CropSegmentation': {'type': 'RandomCrop'},
    'DistortColors': {'type': 'PhotoMetricDistortion'},
    'PackSegmentation': {'type': 'PackSegInputs'},
    'QuickDetDataPreprocessor': {'type': 'DetDataPreprocessor'},
    'QuickSegDataPreProcessor': {'type': 'SegDataPreProcessor'},
}


def main() -> None:
    """Time both, and print a table."""
    parser = argparse.ArgumentParser(description='Time the loading of training samples.')
    parser.add_argument('config')
    parser.add_argument('--size', type=image_size, default=(480, 640), metavar='HxW', help='of image files, in pixels')
    parser.add_argument('--objects', type=int, default=7)
    parser.add_argument('--images', type=int, default=24)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    cfg = load_config(args.config)
    own = [*cfg.train_dataloader.dataset.pipeline, cfg.model.data_preprocessor]
    parts = {'this project': own, cfg.default_scope: [step | PLAIN.get(step['type'], {}) for step in own]}
    with DefaultScope.overwrite_default_scope(cfg.default_scope), tempfile.TemporaryDirectory() as folder:
        built = {
            name: ([TRANSFORMS.build(step) for step in steps], MODELS.build(preprocessor))
            for name, (*steps, preprocessor) in parts.items()
        }
        times_ms: dict[str, list[list[float]]] = defaultdict(list)
        sizes_mb: dict[str, list[float]] = defaultdict(list)
        batches: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for index in range(args.images):
            described = sample(Path(folder), args.size, args.objects, index, cfg.default_scope == 'mmseg')
            for name in [*built][:: 1 if index % 2 else -1]:
                steps, preprocessor = built[name]
                results = {**described, 'instances': [dict(one) for one in described['instances']], 'seg_fields': []}
                np.random.seed(index)
                times_ms[name].append([])
                for step in steps:
                    start = time.process_time()
                    results = step(results)
                    times_ms[name][-1].append(1e3 * (time.process_time() - start))
                start = time.process_time()
                sizes_mb[name].append(len(pickle.dumps(results)) / 1e6)
                times_ms[name][-1].append(1e3 * (time.process_time() - start))
                batches[name].append(results)
                if len(batches[name]) == BATCH_SIZE:
                    batch = pseudo_collate(batches.pop(name))
                    start = time.process_time()
                    preprocessor(batch, training=True)
                    times_ms[f'{name}, batch'].append([1e3 * (time.process_time() - start)])
    stages = [str(step['type']) for step in own[:-1]]
    rows = []
    for name in built:
        each = np.mean(times_ms[name][2:], axis=0)
        preprocessor_ms = np.mean(times_ms[f'{name}, batch'][1:])
        total = each.sum()
        shown = [f'{one:.1f}' for one in (*each, total, preprocessor_ms)]
        rows.append([name, *shown, f'{1e3 / total:.0f}', f'{np.mean(sizes_mb[name]):.1f}'])
    columns = ['ms', *stages, 'pickle', 'all', f'preprocessor, batch of {BATCH_SIZE}', 'images/s', 'MB']
    print(Table('', columns, rows).text())


def sample(folder: Path, size: tuple[int, int], number: int, seed: int, with_labels: bool) -> dict[str, Any]:
    """What a data set gives its pipeline: an image of noise, and blobs, as polygons or as a map of classes."""
    height, width = size
    random = np.random.default_rng(seed)
    small = random.integers(256, size=(height // 8, width // 8, 3), dtype=np.uint8)
    path, labels_path = folder / f'{seed}.jpg', folder / f'{seed}.png'
    cv2.imwrite(str(path), cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
    instances = []
    labels = np.zeros(size, np.uint8)
    for _ in range(number):
        radius = height / 480 * np.exp(random.uniform(np.log(10), np.log(150)))
        center = random.uniform((0, 0), (width, height))
        angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
        radii = radius * random.uniform(0.6, 1.0, CORNERS)
        corners = center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        corners = np.clip(corners, 0, (width, height))
        cv2.fillPoly(labels, [corners.round().astype(np.int32)], int(random.integers(CLASSES)))
        box = [*corners.min(0), *corners.max(0)]
        instances.append({'bbox': box, 'bbox_label': 0, 'ignore_flag': 0, 'mask': [corners.ravel().tolist()]})
    described = {'img_path': str(path), 'img_id': seed, 'height': height, 'width': width, 'instances': instances}
    if with_labels:
        cv2.imwrite(str(labels_path), labels)
        described |= {'seg_map_path': str(labels_path), 'label_map': None, 'reduce_zero_label': False}
        described |= {'label_lookup': np.arange(256, dtype=np.uint8)}
    return described


if __name__ == '__main__':
    main()
