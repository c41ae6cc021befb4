"""A small generated data set in the format of Cityscapes.

The format is described at https://github.com/mcordts/cityscapesScripts: label maps hold the ids of its table of labels,
those for training its train ids, those for people its colours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from .cache import build_once
from .image_files import check_image_size, write_image
from .street_views import street_view

VERSION = 1  # raise it with every change of what is generated, so that cached sets are made anew
CITIES = {'train': ('aachen', 'bremen', 'ulm'), 'val': ('frankfurt', 'lindau')}
MIN_HEIGHT_PX = 32
VOID = 255  # train id of what is neither trained on nor scored


@dataclass(frozen=True)
class Label:
    """A row of the table of labels: its value in `labelIds`, in `labelTrainIds`, and in `color`, as RGB."""

    id: int
    train_id: int
    color: tuple[int, int, int]


LABELS = {
    'unlabeled': Label(0, VOID, (0, 0, 0)),
    'ego vehicle': Label(1, VOID, (0, 0, 0)),
    'rectification border': Label(2, VOID, (0, 0, 0)),
    'out of roi': Label(3, VOID, (0, 0, 0)),
    'static': Label(4, VOID, (0, 0, 0)),
    'dynamic': Label(5, VOID, (111, 74, 0)),
    'ground': Label(6, VOID, (81, 0, 81)),
    'road': Label(7, 0, (128, 64, 128)),
    'sidewalk': Label(8, 1, (244, 35, 232)),
    'parking': Label(9, VOID, (250, 170, 160)),
    'rail track': Label(10, VOID, (230, 150, 140)),
    'building': Label(11, 2, (70, 70, 70)),
    'wall': Label(12, 3, (102, 102, 156)),
    'fence': Label(13, 4, (190, 153, 153)),
    'guard rail': Label(14, VOID, (180, 165, 180)),
    'bridge': Label(15, VOID, (150, 100, 100)),
    'tunnel': Label(16, VOID, (150, 120, 90)),
    'pole': Label(17, 5, (153, 153, 153)),
    'polegroup': Label(18, VOID, (153, 153, 153)),
    'traffic light': Label(19, 6, (250, 170, 30)),
    'traffic sign': Label(20, 7, (220, 220, 0)),
    'vegetation': Label(21, 8, (107, 142, 35)),
    'terrain': Label(22, 9, (152, 251, 152)),
    'sky': Label(23, 10, (70, 130, 180)),
    'person': Label(24, 11, (220, 20, 60)),
    'rider': Label(25, 12, (255, 0, 0)),
    'car': Label(26, 13, (0, 0, 142)),
    'truck': Label(27, 14, (0, 0, 70)),
    'bus': Label(28, 15, (0, 60, 100)),
    'caravan': Label(29, VOID, (0, 0, 90)),
    'trailer': Label(30, VOID, (0, 0, 110)),
    'train': Label(31, 16, (0, 80, 100)),
    'motorcycle': Label(32, 17, (0, 0, 230)),
    'bicycle': Label(33, 18, (119, 11, 32)),
}
"""The labels of Cityscapes by name (cityscapesScripts, helpers/labels.py); licence plates have no id."""
LABEL_IDS = {name: label.id for name, label in LABELS.items()}
TRAIN_IDS = np.array([label.train_id for label in LABELS.values()], dtype=np.uint8)  # by id
COLORS = np.array([(*label.color, 255) for label in LABELS.values()], dtype=np.uint8)  # by id; opaque


def write_cityscapes_sample(
    root: Path,
    num_images: Mapping[str, int],
    image_size: tuple[int, int] = (128, 256),
    seed: int = 0,
) -> Path:
    """Writes the data set, unless it is there already and was written with the same arguments.

    The same arguments give the same files, byte for byte. Safe to call from several processes at once.

    Args:
        root: Folder of the data set; replaced as a whole if it was generated with other arguments.
        num_images: How many images of 'train' and of 'val'.
        image_size: (height, width) in pixels.
        seed: Seed of everything random.

    Returns:
        `root`.

    Raises:
        ValueError: If an argument makes no sense.
        FileExistsError: If `root` holds files that were not generated.
    """
    if set(num_images) != set(CITIES) or min(num_images.values()) < 1:
        raise ValueError(f"num_images = {dict(num_images)}: expected at least one of 'train' and of 'val'.")
    check_image_size(image_size, MIN_HEIGHT_PX)
    parameters = {
        'generator': f'{__name__} version {VERSION}',
        'num_images': dict(num_images),
        'image_size': list(image_size),
        'seed': seed,
    }

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
