"""A small generated instance segmentation data set in the format of COCO 2017.

The format is described at https://cocodataset.org/#format-data. What the pictures show is what their class names say
where that can be drawn simply (stop signs, frisbees, kites; buildings from above), and stand-in shapes otherwise.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from mmdet.datasets import CocoDataset
from mmengine.logging import print_log
from pycocotools import mask as coco_mask
from shapely import Geometry

from .cache import build_once
from .image_files import check_image_size, write_image
from .objects import KINDS, Kind
from .scenes import Scene, aerial_background, compose, grain, paint, part_list, street_background

VERSION = 4  # raise it with every change of what is generated, so that cached sets are made anew
STAND_INS = ('stop sign', 'frisbee', 'kite')  # drawn for the first classes where no class can be drawn as what it is
CROWD_EVERY = 16  # images: one in so many shows a crowd
MIN_SIDE_PX = 64  # below, the objects of a crowd are a pixel or two
LARGEST_IMAGE_ID = 581_929  # of COCO 2017
UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # of categories, 1 to 90
SUPERCATEGORIES = {  # of COCO's classes in their order, with how many each has: cocodataset.org/#explore
    'person': 1, 'vehicle': 8, 'outdoor': 5, 'animal': 10, 'accessory': 5, 'sports': 10, 'kitchen': 7, 'food': 10,
    'furniture': 6, 'electronic': 6, 'appliance': 5, 'indoor': 7,
}  # fmt: skip


@dataclass(frozen=True)
class CocoSplit:
    """One annotation file and the images that it lists.

    Attributes:
        ann_file: Path of the annotation file below the root, such as 'annotations/instances_train2017.json'.
        image_dir: Folder of the images below the root, such as 'train2017'.
        num_images: How many images.
        num_empty: How many of them show no object at all; COCO has about one in a hundred.
    """

    ann_file: str
    image_dir: str
    num_images: int
    num_empty: int = 0


def write_coco_sample(
    root: Path,
    splits: Sequence[CocoSplit],
    classes: Sequence[str],
    image_size: tuple[int, int] = (160, 160),
    seed: int = 0,
) -> Path:
    """Writes the data set, unless it is there already and was written with the same arguments.

    Every image shows 2 to 6 objects, which may hide one another in part; the annotations are of the visible parts.
    One image in 16, the first included, shows a crowd too: twelve small objects under one `iscrowd` annotation. The
    same arguments give the same files, byte for byte. Safe to call from several processes at once.

    Args:
        root: Folder of the data set; replaced as a whole if it was generated with other arguments.
        splits: What to write.
        classes: Names of the classes. If all are COCO's, the annotation files list COCO's 80 categories with their
            ids; else these, numbered from 1.
        image_size: (height, width) in pixels.
        seed: Seed of everything random.

    Returns:
        `root`.

    Raises:
        ValueError: If an argument makes no sense.
        FileExistsError: If `root` holds files that were not generated.
    """
    _check_arguments(splits, classes, image_size)
    parameters = {
        'generator': f'{__name__} version {VERSION}',
        'splits': [asdict(split) for split in splits],
        'classes': list(classes),
        'image_size': list(image_size),
        'seed': seed,
    }

    def build(folder: Path) -> None:
        print_log(f'Generating {sum(split.num_images for split in splits)} sample images in {root}', logger='current')
        image_ids = _image_ids(splits, seed)
        categories = coco_categories(classes)
        for number, (split, ids) in enumerate(zip(splits, image_ids, strict=True)):
            _write_split(folder, split, ids, categories, drawn_kinds(classes), image_size, (seed, number))

    return build_once(root, parameters, build)


def _check_arguments(splits: Sequence[CocoSplit], classes: Sequence[str], image_size: tuple[int, int]) -> None:
    if isinstance(classes, str):
        raise ValueError(f"classes is the string '{classes}'; expected a sequence of names, such as ('{classes}',).")
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(f'classes = {tuple(classes)}: expected at least one name, and each only once.')
    check_image_size(image_size, MIN_SIDE_PX)
    ann_files = [split.ann_file for split in splits]
    if not splits or len(set(ann_files)) != len(ann_files):
        raise ValueError(f'Annotation files of the splits = {ann_files}: expected at least one, and each only once.')
    for split in splits:
        for path in (PurePosixPath(split.ann_file), PurePosixPath(split.image_dir)):
            if path.is_absolute() or '..' in path.parts:
                raise ValueError(f'{path} in {split}: expected a path below the root of the data set.')
        if split.num_images < 1 or not 0 <= split.num_empty <= split.num_images:
            raise ValueError(f'{split}: expected num_images >= 1 and num_empty between 0 and num_images.')


def coco_categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The `categories` of an annotation file: COCO's own if it knows all classes, else these, numbered from 1."""
    names = CocoDataset.METAINFO['classes']
    if not set(classes) <= set(names):
        return [{'supercategory': name, 'id': number, 'name': name} for number, name in enumerate(classes, start=1)]
    ids = [number for number in range(1, 91) if number not in UNUSED_IDS]
    groups = [group for group, size in SUPERCATEGORIES.items() for _ in range(size)]
    return [
        {'supercategory': group, 'id': number, 'name': name}
        for group, number, name in zip(groups, ids, names, strict=True)
    ]


def drawn_kinds(classes: Sequence[str]) -> dict[str, Kind]:
    """How to draw those classes of which the pictures show objects.

    These are the classes that can be drawn as what they are. If there is none, the first few classes get stand-in
    shapes, always the same.
    """
    drawable = {name: KINDS[name] for name in classes if name in KINDS}
    return drawable or {name: KINDS[stand_in] for name, stand_in in zip(classes, STAND_INS, strict=False)}


def _image_ids(splits: Sequence[CocoSplit], seed: int) -> list[list[int]]:
    """Ids for the images of every split: with gaps, as COCO's, and no id twice."""
    counts = [split.num_images for split in splits]
    ids = np.random.default_rng(seed).choice(LARGEST_IMAGE_ID, size=sum(counts), replace=False) + 1
    return [part.tolist() for part in np.split(ids, np.cumsum(counts)[:-1])]


def _write_split(
    folder: Path,
    split: CocoSplit,
    image_ids: Sequence[int],
    categories: list[dict[str, Any]],
    kinds: Mapping[str, Kind],
    image_size: tuple[int, int],
    seeds: tuple[int, int],
) -> None:
    """Writes the images of a split and its annotation file."""
    category_ids = {category['name']: category['id'] for category in categories}
    empty_from = split.num_images - split.num_empty
    annotations: list[dict[str, Any]] = []
    for index, image_id in enumerate(image_ids):
        rng = np.random.default_rng([*seeds, index])
        num_objects = int(rng.integers(2, 7)) if index < empty_from else 0
        with_crowd = index < empty_from and index % CROWD_EVERY == 0
        scene = compose(rng, image_size, kinds, num_objects, with_crowd)
        background = aerial_background if all(kind.aerial for kind in kinds.values()) else street_background
        picture = paint(scene, background(rng, scene)) + grain(rng, image_size)
        write_image(folder / split.image_dir / _file_name(image_id), picture)
        annotations += annotate(scene, image_id, category_ids, first_id=len(annotations) + 1)
    content = {
        'info': _INFO,
        'licenses': [_LICENSE],
        'images': [_image_entry(image_id, image_size) for image_id in image_ids],
        'annotations': annotations,
        'categories': categories,
    }
    ann_file = folder / split.ann_file
    ann_file.parent.mkdir(parents=True, exist_ok=True)
    ann_file.write_text(json.dumps(content))


def _file_name(image_id: int) -> str:
    return f'{image_id:012d}.jpg'


def _image_entry(image_id: int, image_size: tuple[int, int]) -> dict[str, Any]:
    """The entry of an image; it was never online, so its addresses are empty."""
    return {
        'license': _LICENSE['id'],
        'file_name': _file_name(image_id),
        'coco_url': '',
        'height': image_size[0],
        'width': image_size[1],
        'date_captured': '2017-09-01 00:00:00',
        'flickr_url': '',
        'id': image_id,
    }


def annotate(scene: Scene, image_id: int, category_ids: Mapping[str, int], first_id: int) -> list[dict[str, Any]]:
    """The annotations of an image: polygons of the visible parts, run lengths for a crowd."""
    annotations = []
    for number, (scene_object, visible) in enumerate(zip(scene.objects, scene.visible, strict=True), start=first_id):
        category_id = category_ids[scene_object.class_name]
        rings = _rings(visible)
        rle = coco_mask.merge(coco_mask.frPyObjects(rings, *scene.size))
        segmentation: Any = rings
        if scene_object.is_crowd:
            number = 900_000_000_000 + category_id * 100_000_000 + image_id  # the scheme of COCO's crowds
            segmentation = {'counts': run_lengths(coco_mask.decode(rle)), 'size': list(scene.size)}
        annotations.append(
            {
                'segmentation': segmentation,
                'area': int(coco_mask.area(rle)),
                'iscrowd': int(scene_object.is_crowd),
                'image_id': image_id,
                'bbox': coco_mask.toBbox(rle).tolist(),
                'category_id': category_id,
                'id': number,
            }
        )
    return annotations


def _rings(visible: Geometry) -> list[list[float]]:
    """The connected parts as COCO polygons [x0, y0, x1, y1, …], to a hundredth of a pixel."""
    return [np.asarray(part.exterior.coords)[:-1].round(2).ravel().tolist() for part in part_list(visible)]


def run_lengths(mask: np.ndarray) -> list[int]:
    """Uncompressed COCO run lengths of a binary mask (H, W): of 0s and 1s in turn, column by column, 0s first."""
    flat = mask.ravel(order='F').astype(np.int8)
    changes = np.flatnonzero(np.diff(flat, prepend=0))
    return np.diff(changes, prepend=0, append=flat.size).tolist()


_INFO = {
    'description': 'Generated sample in the format of COCO 2017',
    'url': '',
    'version': f'{VERSION}.0',
    'year': 2017,
    'contributor': 'Skyline',
    'date_created': '2017/09/01',
}
_LICENSE = {'url': 'https://www.apache.org/licenses/LICENSE-2.0', 'id': 1, 'name': 'Apache License, Version 2.0'}
