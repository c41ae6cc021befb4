"""The generated data set for each type of data set that configs train on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.config import Config

from .ade20k import write_ade20k_sample
from .buildings import (
    NOISY_SPLIT,
    BonaiFile,
    MaskFolders,
    write_bonai_sample,
    write_mask_sample,
    write_scenes_sample,
)
from .cityscapes import write_cityscapes_sample
from .coco import CocoSplit, write_coco_sample

TINY_SIDE_PX = 64
CLEAN_SHARE = 4  # one tile of the clean target for so many of the noisy source


@dataclass(frozen=True)
class Sample:
    """A generated data set and how long to train on it.

    Attributes:
        write: Writes the data set that a config expects into a folder.
        image_size: (height, width) in pixels.
        num_train_images: How many images there are to train on.
        num_val_images: How many there are for validation.
        batch_size: Images per step.
        length: Epochs, or iterations if the config counts those.
        learning_rate: Its peak, unless the recipe has a higher one.
        seed: Of everything random in the images.
    """

    write: 'Callable[[Config, Path, Sample], Any]'
    image_size: tuple[int, int]
    num_train_images: int
    num_val_images: int
    batch_size: int
    length: int
    learning_rate: float
    seed: int = 0

    def tiny(self) -> 'Sample':
        """One step on the smallest images, to see that everything fits together."""
        factor = TINY_SIDE_PX / min(self.image_size)
        height, width = self.image_size
        return replace(
            self,
            image_size=(round(height * factor), round(width * factor)),
            num_train_images=2,
            num_val_images=2,
            batch_size=2,
            length=1,
        )


def _write_coco(cfg: Config, folder: Path, sample: Sample) -> None:
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    classes = train.get('metainfo', {}).get('classes')
    if classes is None:
        classes = CocoDataset.METAINFO['classes']
    write_coco_sample(
        folder,
        [
            CocoSplit(train.ann_file, train.data_prefix.img, sample.num_train_images),
            CocoSplit(val.ann_file, val.data_prefix.img, sample.num_val_images, num_empty=1),
        ],
        classes,
        sample.image_size,
        sample.seed,
    )


def _write_cityscapes(cfg: Config, folder: Path, sample: Sample) -> None:
    num_images = {'train': sample.num_train_images, 'val': sample.num_val_images}
    write_cityscapes_sample(folder, num_images, sample.image_size, sample.seed)


def _write_ade20k(cfg: Config, folder: Path, sample: Sample) -> None:
    num_images = {'training': sample.num_train_images, 'validation': sample.num_val_images}
    write_ade20k_sample(folder, num_images, sample.image_size, sample.seed)


def _write_roof_scenes(cfg: Config, folder: Path, sample: Sample) -> None:
    """Roofs off nadir: the splits that the config uses."""
    numbers = {'train': sample.num_train_images}
    splits = {Path(_image_folder(dataset)).parts[0]: role for role, dataset in _datasets(cfg)}
    num_tiles = {split: numbers.get(role, sample.num_val_images) for split, role in splits.items()}
    write_scenes_sample(folder, num_tiles, sample.image_size[0], sample.seed, off_nadir=True)


def _write_scenes(cfg: Config, folder: Path, sample: Sample) -> None:
    """The splits of the transfer study, whichever the config uses, so that its configs share a data set."""
    num_target = max(sample.num_train_images // CLEAN_SHARE, sample.batch_size)
    num_tiles = {NOISY_SPLIT: sample.num_train_images, 'target': num_target}
    num_tiles |= dict.fromkeys(('val', 'test'), sample.num_val_images)
    for role, dataset in _datasets(cfg):
        split = Path(_image_folder(dataset)).parts[0]
        num_tiles.setdefault(split, num_target if role == 'train' else sample.num_val_images)
    write_scenes_sample(folder, num_tiles, sample.image_size[0], sample.seed)


def _write_masks(cfg: Config, folder: Path, sample: Sample) -> None:
    parts = {
        MaskFolders(
            dataset['data_prefix']['img_path'],
            dataset['data_prefix']['seg_map_path'],
            sample.num_train_images if role == 'train' else sample.num_val_images,
            dataset.get('image_name', '{}'),
            dataset.get('mask_name', '{}'),
            dataset.get('ann_file', ''),
        ): dataset
        for role, dataset in _datasets(cfg)
    }
    values = [(dataset['building'], dataset.get('background', [0])[0]) for dataset in parts.values()]
    write_mask_sample(folder, list(parts), *values[0], sample.image_size[0], sample.seed)


def _write_bonai(cfg: Config, folder: Path, sample: Sample) -> None:
    used = list(_datasets(cfg))
    num_parts = sum(role == 'train' for role, _ in used)
    numbers = {'train': max(sample.num_train_images // num_parts, 1)}
    files = {
        dataset['ann_file']: BonaiFile(
            dataset['ann_file'], _image_folder(dataset), numbers.get(role, sample.num_val_images)
        )
        for role, dataset in used
    }
    write_bonai_sample(folder, list(files.values()), sample.image_size[0], sample.seed)


def _datasets(cfg: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """For what each data set is used, and its config; of a mixed one, those of its parts."""
    for role in ('train', 'val', 'test'):
        dataset = cfg[f'{role}_dataloader'].dataset
        for part in dataset.get('parts', [{}]):
            yield role, {**dataset, **part}


def _image_folder(dataset: dict[str, Any]) -> str:
    prefix = dataset['data_prefix']
    return str(Path(prefix.get('img_path') or prefix['img']))  # without a slash at the end


ROOFS = 'BuildingInstanceDataset with_offsets'
SAMPLES = {
    'CheckedCocoDataset': Sample(
        _write_coco, (160, 160), num_train_images=128, num_val_images=16, batch_size=2, length=6, learning_rate=3e-4
    ),
    'CheckedCityscapesDataset': Sample(
        _write_cityscapes,
        (128, 256),
        num_train_images=128,
        num_val_images=16,
        batch_size=4,
        length=800,
        learning_rate=1e-3,
    ),
    'CheckedADE20KDataset': Sample(
        _write_ade20k, (128, 160), num_train_images=128, num_val_images=24, batch_size=4, length=400, learning_rate=1e-3
    ),
    'BuildingTileDataset': Sample(
        _write_scenes, (128, 128), num_train_images=160, num_val_images=16, batch_size=4, length=300, learning_rate=1e-3
    ),
    'BuildingMaskDataset': Sample(
        _write_masks, (128, 128), num_train_images=160, num_val_images=16, batch_size=4, length=300, learning_rate=1e-3
    ),
    'BonaiDataset': Sample(
        _write_bonai, (128, 128), num_train_images=160, num_val_images=16, batch_size=4, length=300, learning_rate=1e-3
    ),
    'BuildingInstanceDataset': Sample(  # the same files as for BuildingTileDataset
        _write_scenes, (128, 128), num_train_images=160, num_val_images=16, batch_size=2, length=18, learning_rate=3e-4
    ),
    ROOFS: Sample(
        _write_roof_scenes,
        (320, 320),
        num_train_images=100,
        num_val_images=16,
        batch_size=1,
        length=4,
        learning_rate=3e-4,
    ),
    'BonaiInstanceDataset': Sample(
        _write_bonai, (128, 128), num_train_images=160, num_val_images=16, batch_size=2, length=5, learning_rate=3e-4
    ),
}
"""By `sample_kind`."""


def sample_kind(dataset: dict[str, Any]) -> str:
    """The type of a data set that a config trains on, that of its parts if it is mixed; or `ROOFS`."""
    kind = dataset.get('of', dataset['type'])
    return ROOFS if dataset.get('with_offsets') and ROOFS.startswith(kind) else kind
