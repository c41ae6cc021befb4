"""Small generated data sets of buildings from above: rendered scenes, images with masks, and the format of BONAI.

All show one invented city; `projects.city_scenes` invents and renders it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from projects.building_extraction.preparation.bonai_files import coco_annotation
from projects.building_extraction.preparation.scenes.tiles import write_scenes
from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain, default_domains
from projects.city_scenes.procedural_city import procedural_city

from .cache import build_once
from .image_files import check_image_size

VERSION = 4  # raise it with every change of what is generated, so that cached sets are made anew
CITY_SIZE_M = 2000.0
GSD_M = 0.6
MIN_SIDE_PX = 64
NOISY_SPLIT = 'source'
OFF_NADIR_DEG = (10.0, 40.0)  # of the images in the format of BONAI, and of roofs with offsets
Value = int | Sequence[int]


@dataclass(frozen=True)
class MaskFolders:
    """Images and masks in two folders, in pairs.

    Attributes:
        images: Folder of the images below the root.
        masks: Folder of the masks below the root.
        num_images: How many pairs.
        image_name: Path of an image in its folder, without suffix; each `{}` stands for a text that its mask shares.
        mask_name: The same of its mask.
        list_file: A file below the root that lists these texts, joined by '/'; '' for none.
    """

    images: str
    masks: str
    num_images: int
    image_name: str = '{}'
    mask_name: str = '{}'
    list_file: str = ''


@dataclass(frozen=True)
class BonaiFile:
    """One annotation file and the images that it lists.

    Attributes:
        ann_file: Path of the annotation file below the root, such as 'coco/bonai_shanghai_trainval.json'.
        image_dir: Folder of the images below the root, such as 'trainval/images'.
        num_images: How many images.
    """

    ann_file: str
    image_dir: str
    num_images: int


def write_scenes_sample(
    root: Path, num_tiles: Mapping[str, int], tile_px: int = 128, seed: int = 0, off_nadir: bool = False
) -> Path:
    """Writes building tiles, unless they are there already and were written with the same arguments.

    Their layout is that of `write_scenes`. The split 'source' is seen from 10 to 40 degrees off nadir and labelled with
    displaced footprints; all others are seen from near nadir and labelled with the roofs. Each has ground of its own.

    Args:
        root: Folder of the data set; replaced as a whole if it was generated with other arguments.
        num_tiles: How many tiles of each split.
        tile_px: Side of a tile in pixels of 0.6 m.
        seed: Seed of everything random.
        off_nadir: All splits are seen from 10 to 40 degrees off nadir, and labelled with the roofs of all tiers.

    Returns:
        `root`.

    Raises:
        ValueError: An argument makes no sense.
        FileExistsError: `root` holds files that were not generated.
    """
    noisy = default_domains()[NOISY_SPLIT]
    domains = {
        split: replace(noisy, num_tiles=number) if split == NOISY_SPLIT else Domain(number)
        for split, number in num_tiles.items()
    }
    if off_nadir:
        domains = {split: Domain(number, OFF_NADIR_DEG, label='tier') for split, number in num_tiles.items()}

    def build(folder: Path) -> None:
        with _rendered(root, folder, domains, tile_px, seed) as scenes:
            for path in scenes.iterdir():
                path.rename(folder / path.name)

    layout = 'tiers' if off_nadir else 'scenes'
    return build_once(root, _parameters(layout, tile_px, seed, num_tiles=dict(num_tiles)), build)


def write_mask_sample(
    root: Path,
    splits: Sequence[MaskFolders],
    building: Value = 255,
    background: Value = 0,
    tile_px: int = 128,
    seed: int = 0,
) -> Path:
    """Writes near-nadir images and masks of the roofs, as WHU's and other sets have them; see `write_scenes_sample`.

    Args:
        root: Folder of the data set.
        splits: What to write where.
        building: Value of buildings in the masks: an integer, or a colour (R, G, B).
        background: Value of everything else.
        tile_px: Side of an image in pixels of 0.6 m.
        seed: Seed of everything random.
    """
    parameters = _parameters(
        'masks', tile_px, seed, splits=[asdict(split) for split in splits], building=building, background=background
    )
    domains = {f'part{number}': Domain(split.num_images) for number, split in enumerate(splits)}
    colors = np.array([background, building], np.uint8)

    def build(folder: Path) -> None:
        with _rendered(root, folder, domains, tile_px, seed) as scenes:
            for name, split in zip(domains, splits, strict=True):
                listed = []
                for image in sorted((scenes / name / 'images').iterdir()):
                    texts = [image.stem] * split.image_name.count('{}')
                    listed.append('/'.join(texts) + '\n')
                    _move(image, folder / split.images / f'{split.image_name.format(*texts)}.png')
                    mask = np.asarray(Image.open(scenes / name / 'masks' / image.name)) // 255
                    path = folder / split.masks / f'{split.mask_name.format(*texts)}.png'
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(colors[mask]).save(path)
                if split.list_file:
                    (folder / split.list_file).parent.mkdir(parents=True, exist_ok=True)
                    (folder / split.list_file).write_text(''.join(listed))

    return build_once(root, parameters, build)


def write_bonai_sample(root: Path, files: Sequence[BonaiFile], tile_px: int = 128, seed: int = 0) -> Path:
    """Writes off-nadir images in the COCO layer of BONAI (https://github.com/jwwangchn/BONAI).

    As there, the roof is outlined where it is seen, and the footprint is the roof moved by the offset. What shows no
    roof has no annotation. A tower and the podium that it stands on have an annotation each, as they lean differently.
    See `write_scenes_sample`.

    Args:
        root: Folder of the data set.
        files: The annotation files, each of another name.
        tile_px: Side of an image in pixels of 0.6 m.
        seed: Seed of everything random.
    """
    domains = {Path(file.ann_file).stem: Domain(file.num_images, OFF_NADIR_DEG, label='tier') for file in files}

    def build(folder: Path) -> None:
        with _rendered(root, folder, domains, tile_px, seed) as scenes:
            for name, file in zip(domains, files, strict=True):
                for image in sorted((scenes / name / 'images').iterdir()):
                    _move(image, folder / file.image_dir / image.name)
                content = json.loads((scenes / name / 'instances.json').read_text())
                path = folder / file.ann_file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(_bonai_content(content)))

    return build_once(root, _parameters('bonai', tile_px, seed, files=[asdict(file) for file in files]), build)


def _bonai_content(scenes: dict[str, Any]) -> dict[str, Any]:
    images = [{key: image[key] for key in ('id', 'file_name', 'width', 'height')} for image in scenes['images']]
    annotations = [_bonai_annotation(annotation) for annotation in scenes['annotations'] if annotation['roof_mask']]
    return {'images': images, 'annotations': annotations, 'categories': scenes['categories']}


def _bonai_annotation(annotation: dict[str, Any]) -> dict[str, Any]:
    roof, offset = annotation['roof_mask'], annotation['offset']
    entry = {'roof': roof, 'offset': offset, 'building_height': annotation['building_height']}
    entry['ignore'] = annotation['ignore_flag']
    return {key: annotation[key] for key in ('id', 'image_id')} | coco_annotation(entry)


def _parameters(layout: str, tile_px: int, seed: int, **more: Any) -> dict[str, Any]:
    check_image_size((tile_px, tile_px), MIN_SIDE_PX)
    parameters = {'generator': f'{__name__} version {VERSION}', 'layout': layout, 'tile_px': tile_px, 'seed': seed}
    return json.loads(json.dumps(parameters | more))


@contextmanager
def _rendered(root: Path, folder: Path, domains: Mapping[str, Domain], tile_px: int, seed: int) -> Iterator[Path]:
    """A set of scenes inside a folder, from which it vanishes again."""
    print_log(f'Rendering {sum(d.num_tiles for d in domains.values())} sample images for {root}', logger='current')
    with TemporaryDirectory(dir=folder) as temporary:
        scenes = Path(temporary) / 'scenes'
        write_scenes(_city(seed), domains, GSD_M, tile_px, scenes, seed, num_processes=1)
        yield scenes


@cache
def _city(seed: int) -> City:
    return procedural_city(CITY_SIZE_M, seed)


def _move(file: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file.rename(path)
