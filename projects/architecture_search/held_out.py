"""A part of the training set that a search scores on, so that validation and test sets stay unseen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from projects.storage.atomic_files import write_file
from projects.training.image_scale import nodes_of

LEAST_IMAGES = 2  # of each part


def hold_out(cfg: Config, folder: Path, share: float, seed: int = 0) -> None:
    """Train on a part of the training set, and validate on the rest of it.

    The test set stays as it is.

    Args:
        cfg: Changed in place.
        folder: Receives the annotation files of both parts, where there is one for the set.
        share: Of the images, to validate on.
        seed: Of the choice.

    Raises:
        ValueError: The share is not between 0 and 1, or leaves too few images; or the set is made of several ones.
        FileNotFoundError: There is no data.
    """
    if not 0 < share < 1:
        raise ValueError(f'the held-out share of the training set must be between 0 and 1, got {share}')
    training = cfg.train_dataloader.dataset
    if 'parts' in training or 'dataset' in training:
        raise ValueError(f'{training.type} is made of several data sets: a search takes a config that trains on one')
    validation = {**training, 'pipeline': cfg.val_dataloader.dataset.pipeline, 'test_mode': True}
    validation.pop('filter_cfg', None)
    if str(training.get('ann_file', '')).endswith('.json'):
        files = _split_annotations(Path(training.data_root or '', training.ann_file), folder, share, seed)
        training.ann_file, validation['ann_file'] = map(str, files)
        for metric in nodes_of(cfg.val_evaluator):
            if 'ann_file' in metric:
                metric.ann_file = str(files[1])
    else:
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        number = len(DATASETS.build(training))
        training.indices, validation['indices'] = _split(number, share, seed, training.get('data_root'))
    cfg.val_dataloader.dataset = validation


def _split(number: int, share: float, seed: int, where: Any) -> tuple[list[int], list[int]]:
    """Numbers of the images to train on and of those to validate on, each in ascending order."""
    held = round(share * number)
    if min(held, number - held) < LEAST_IMAGES:
        raise ValueError(
            f'{where} has {number} images to train on: holding out {share:.0%} leaves {number - held} and {held}'
        )
    order = np.random.default_rng(seed).permutation(number)
    return sorted(order[held:].tolist()), sorted(order[:held].tolist())


def _split_annotations(file: Path, folder: Path, share: float, seed: int) -> tuple[Path, Path]:
    """Write both parts of a file in COCO's format."""
    if not file.is_file():
        raise FileNotFoundError(f'no annotation file {file}; data/README.md shows the layout')
    names = (folder / f'{file.stem}_train.json', folder / f'{file.stem}_held_out.json')
    content = json.loads(file.read_bytes())
    images = sorted(content['images'], key=lambda image: image['id'])
    for name, places in zip(names, _split(len(images), share, seed, file), strict=True):
        chosen = [images[place] for place in places]
        ids = {image['id'] for image in chosen}
        annotations = [each for each in content['annotations'] if each['image_id'] in ids]
        write_file(name, json.dumps({**content, 'images': chosen, 'annotations': annotations}))
    return names[0].absolute(), names[1].absolute()
