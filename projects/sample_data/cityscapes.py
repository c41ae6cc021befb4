"""A small generated data set in the format of Cityscapes.

The format is described at https://github.com/mcordts/cityscapesScripts: label maps hold the ids of its table of labels,
those for training its train ids, those for people its colours.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from projects.training.segmentation_datasets import LABEL_IDS as TRAIN_IDS_OF_LABELS

from .cache import build_once
from .image_files import check_image_size, check_numbers, write_image
from .street_views import street_view

VERSION = 1  # raise it with every change of what is generated, so that cached sets are made anew
CITIES = {'train': ('aachen', 'bremen', 'ulm'), 'val': ('frankfurt', 'lindau')}
MIN_HEIGHT_PX = 32

LABELS = {
    'unlabeled': (0, 0, 0),
    'ego vehicle': (0, 0, 0),
    'rectification border': (0, 0, 0),
    'out of roi': (0, 0, 0),
    'static': (0, 0, 0),
    'dynamic': (111, 74, 0),
    'ground': (81, 0, 81),
    'road': (128, 64, 128),
    'sidewalk': (244, 35, 232),
    'parking': (250, 170, 160),
    'rail track': (230, 150, 140),
    'building': (70, 70, 70),
    'wall': (102, 102, 156),
    'fence': (190, 153, 153),
    'guard rail': (180, 165, 180),
    'bridge': (150, 100, 100),
    'tunnel': (150, 120, 90),
    'pole': (153, 153, 153),
    'polegroup': (153, 153, 153),
    'traffic light': (250, 170, 30),
    'traffic sign': (220, 220, 0),
    'vegetation': (107, 142, 35),
    'terrain': (152, 251, 152),
    'sky': (70, 130, 180),
    'person': (220, 20, 60),
    'rider': (255, 0, 0),
    'car': (0, 0, 142),
    'truck': (0, 0, 70),
    'bus': (0, 60, 100),
    'caravan': (0, 0, 90),
    'trailer': (0, 0, 110),
    'train': (0, 80, 100),
    'motorcycle': (0, 0, 230),
    'bicycle': (119, 11, 32),
}
"""Colours of Cityscapes' labels, in the order of their ids (cityscapesScripts, helpers/labels.py); licence plates have
none."""
LABEL_IDS = {name: number for number, name in enumerate(LABELS)}
TRAIN_IDS = np.array([TRAIN_IDS_OF_LABELS[number] for number in LABEL_IDS.values()], dtype=np.uint8)
COLORS = np.array([(*color, 255) for color in LABELS.values()], dtype=np.uint8)  # opaque


def write_cityscapes_sample(
    root: Path,
    num_images: Mapping[str, int],
    image_size: tuple[int, int] = (128, 256),
    seed: int = 0,
) -> Path:
    """Writes the data set; see `build_once`.

    Args:
        root: Folder of the data set.
        num_images: How many images of 'train' and of 'val'.
        image_size: (height, width) in pixels.
        seed: Seed of everything random.

    Raises:
        ValueError: An argument makes no sense.
    """
    check_image_size(image_size, MIN_HEIGHT_PX)
    parameters = {'generator': f'{__name__} version {VERSION}', 'seed': seed}
    parameters |= {'num_images': check_numbers(num_images, CITIES), 'image_size': list(image_size)}

    def build(folder: Path) -> None:
        print_log(f'Generating {sum(num_images.values())} sample images in {root}', logger='current')
        for number, (split, cities) in enumerate(CITIES.items()):
            for index in range(num_images[split]):
                rng = np.random.default_rng([seed, number, index])
                picture, labels = street_view(rng, image_size, LABEL_IDS, rarity=index)
                _write_frame(folder, split, cities[index % len(cities)], index, picture, labels)

    return build_once(root, parameters, build)


def _write_frame(folder: Path, split: str, city: str, index: int, picture: np.ndarray, labels: np.ndarray) -> None:
    """Writes an image and its label maps; every image is the 20th frame of a sequence of its own."""
    name = f'{city}_{index:06d}_000019'
    write_image(folder / 'leftImg8bit' / split / city / f'{name}_leftImg8bit.png', picture)
    for kind, image in (('labelIds', labels), ('labelTrainIds', TRAIN_IDS[labels]), ('color', COLORS[labels])):
        write_image(folder / 'gtFine' / split / city / f'{name}_gtFine_{kind}.png', image)
