"""A small generated data set in the format of ADE20K's scene parsing benchmark, ADEChallengeData2016.

The format is described at http://sceneparsing.csail.mit.edu: label maps hold 1 to 150, or 0 where there is none of
these classes.
"""

from collections.abc import Mapping
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from mmseg.datasets import ADE20KDataset

from .cache import build_once
from .everyday_scenes import CATEGORIES, everyday_scene
from .image_files import check_image_size, check_numbers, write_image

VERSION = 1  # raise it with every change of what is generated, so that cached sets are made anew
SPLITS = {'training': 'train', 'validation': 'val'}  # folders, and what their files are called
MIN_SIDE_PX = 32
CLASSES = tuple(name.strip() for name in ADE20KDataset.METAINFO['classes'])  # mmseg has a blank after 'bed'
LABEL_IDS = {'other': 0} | {name: number for number, name in enumerate(CLASSES, start=1)}


def write_ade20k_sample(
    root: Path, num_images: Mapping[str, int], image_size: tuple[int, int] = (128, 160), seed: int = 0
) -> Path:
    """Writes the data set, one image in five of it upright; see `build_once`.

    Args:
        root: Folder of the data set.
        num_images: How many images of 'training' and of 'validation'.
        image_size: (height, width) in pixels; of upright images (width, height).
        seed: Seed of everything random.

    Raises:
        ValueError: An argument makes no sense.
    """
    check_image_size(image_size, MIN_SIDE_PX)
    parameters = {'generator': f'{__name__} version {VERSION}', 'seed': seed}
    parameters |= {'num_images': check_numbers(num_images, SPLITS), 'image_size': list(image_size)}

    def build(folder: Path) -> None:
        print_log(f'Generating {sum(num_images.values())} sample images in {root}', logger='current')
        categories = {}
        counts: dict[str, np.ndarray] = {}
        for number, (split, prefix) in enumerate(SPLITS.items()):
            counts[split] = np.zeros((num_images[split], len(LABEL_IDS)), dtype=int)
            for index, category in enumerate(islice(cycle(CATEGORIES), num_images[split])):
                rng = np.random.default_rng([seed, number, index])
                size = image_size[::-1] if index % 5 == 4 else image_size
                picture, labels = everyday_scene(rng, size, LABEL_IDS, category)
                name = f'ADE_{prefix}_{index + 1:08d}'
                write_image(folder / 'images' / split / f'{name}.jpg', picture)
                write_image(folder / 'annotations' / split / f'{name}.png', labels)
                categories[name] = category
                counts[split][index] = np.bincount(labels.ravel(), minlength=len(LABEL_IDS))
        lines = [f'{name} {category}\n' for name, category in categories.items()]
        (folder / 'sceneCategories.txt').write_text(''.join(lines))
        (folder / 'objectInfo150.txt').write_text(_class_table(counts['training'], counts['validation']))

    return build_once(root, parameters, build)


def _class_table(train: np.ndarray, val: np.ndarray) -> str:
    """The classes, tab-separated: number, share of the labelled pixels, training and validation images that show it.

    Args:
        train: Pixels of every label in every training image, shape (images, 151).
        val: The same of the validation images.
    """
    pixels = np.concatenate([train, val]).sum(axis=0)[1:]
    rows = [('Idx', 'Ratio', 'Train', 'Val', 'Name')]
    for index, name in enumerate(CLASSES):
        images = [str((counts[:, index + 1] > 0).sum()) for counts in (train, val)]
        rows.append((str(index + 1), f'{pixels[index] / pixels.sum():.4f}', *images, name))
    return ''.join('\t'.join(row) + '\n' for row in rows)
