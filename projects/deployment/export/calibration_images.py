"""Images to calibrate and to verify with."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from projects.pixels.decoding import read_image
from projects.training.config import load_config

from ..model_info import ModelInfo
from ..prediction.image_files import IMAGE, find_inputs
from ..predictions import fit_image, rgb_pixels


class NamedImage(NamedTuple):
    """An image as a network takes it.

    Attributes:
        name: Of its file.
        pixels: (H, W, 3) uint8 RGB, resized as the recipe does, or to the size that the graph is fixed to.
    """

    name: str
    pixels: np.ndarray


def images_of_files(given: Sequence[str], info: ModelInfo, most: int | None = None) -> list[NamedImage]:
    """Read images of files, folders and globs: all of them, or evenly spread where there are more than `most`.

    Raises:
        FileNotFoundError: A file, folder or match does not exist.
        ValueError: There is no image among them.
        OSError: An image cannot be decoded.
    """
    paths = _named(given)
    return [_fitted(path.name, read_image(path), info) for path in spread(paths, most or len(paths))]


def images_of_test_set(cfg: Config, info: ModelInfo, most: int) -> list[NamedImage]:
    """Read images of a config's test set through its pipeline, evenly spread, at most so many.

    Raises:
        FileNotFoundError: The data set is not there.
    """
    dataset = _build(cfg, cfg.test_dataloader.dataset)
    return _read([(dataset, index) for index in range(len(dataset))], info, most)


def images_of_training_set(cfg: Config, info: ModelInfo, most: int, tested: Config | None = None) -> list[NamedImage]:
    """Read images that a config trains on, as its test pipeline prepares them, evenly spread.

    Data sets that are made of others are taken apart, and a file counts once, however often it is trained on. Files of
    the test set are left out: scores of a network that was calibrated on it would be flattered.

    Args:
        cfg: The config.
        info: What the images are for.
        most: Number of images at most; those that cannot be read are missing.
        tested: The config whose test set counts; None: the same.

    Raises:
        FileNotFoundError: The training set is not there.
        ValueError: There is none, or its images are those of the test set.
    """
    sets = plain_sets((cfg.get('train_dataloader') or {}).get('dataset') or {})
    if not sets:
        raise ValueError(f'{cfg.filename} has no training set to calibrate on: name images with --calibration')
    pipeline = cfg.test_dataloader.dataset.pipeline
    found = {}
    for source in sets:
        dataset = _build(cfg, {**source, 'pipeline': pipeline, 'test_mode': True})
        found.update({file: (dataset, index) for index, file in enumerate(_files(dataset))})
    forbidden = _test_files(tested or cfg)
    kept = [entry for file, entry in found.items() if file not in forbidden]
    if not kept:
        raise ValueError(
            f'{cfg.filename}: all {len(found)} training images belong to the test set, on which nothing may be '
            'calibrated: name others with --calibration'
        )
    return _read(kept, info, most)


def plain_sets(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """Configs of the data sets that one is made of: by mmengine's wrappers, or as parts of our `MixedDataset`."""
    if 'datasets' in dataset or 'dataset' in dataset:
        return [plain for one in dataset.get('datasets', [dataset.get('dataset')]) for plain in plain_sets(one)]
    if 'parts' in dataset:
        common = {key: value for key, value in dataset.items() if key not in ('of', 'parts', 'times')}
        return [{**common, 'type': dataset['of'], **part} for part in dataset['parts']]
    return [dataset] if dataset else []


def calibration_images(given: Sequence[str], cfg: Config, info: ModelInfo, most: int) -> list[NamedImage]:
    """Images of files, folders, globs or of the training set of a config (`.py`); by default of `cfg` itself.

    Raises:
        FileNotFoundError: As `images_of_files` and `images_of_training_set` do.
        ValueError: Likewise, and if files are named that belong to the test set of `cfg`.
    """
    if len(given) == 1 and given[0].endswith('.py'):
        return images_of_training_set(load_config(given[0]), info, most, tested=cfg)
    if not given:
        return images_of_training_set(cfg, info, most)
    named, forbidden = _named(given), _test_files(cfg)
    wrong = [path for path in named if os.path.realpath(path) in forbidden]
    if wrong:
        raise ValueError(
            f'--calibration: {len(wrong)} of {len(named)} images belong to the test set of {cfg.filename}, on which '
            f'nothing may be calibrated, the first is {wrong[0]}: name others'
        )
    return images_of_files(given, info, most)


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly spread, in their order."""
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _named(given: Sequence[str]) -> list[Path]:
    paths = [file.path for file in find_inputs(given) if file.kind == IMAGE]
    if not paths:
        raise ValueError(f'{" ".join(given)}: no images; rasters and videos have to be cut into images first')
    return paths


def _build(cfg: Config, dataset: dict[str, Any]) -> Any:
    try:
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            return DATASETS.build(dataset)
    except (FileNotFoundError, ValueError) as error:
        raise FileNotFoundError(
            f'no images of the data set: {error}. Name your own (--images, --calibration) or use --sample'
        ) from error


def _test_files(cfg: Config) -> set[str]:
    """Those of a test set; none if it is not there, as nothing can be scored on it then."""
    try:
        return set(_files(_build(cfg, cfg.test_dataloader.dataset)))
    except FileNotFoundError:
        return set()


def _files(dataset: Any) -> list[str]:
    """Where the images of a data set lie, in its order, links resolved."""
    return [os.path.realpath(dataset.get_data_info(index)['img_path']) for index in range(len(dataset))]


def _read(entries: Sequence[tuple[Any, int]], info: ModelInfo, most: int) -> list[NamedImage]:
    """Images of data sets; one that cannot be read, in whose place these give a black one, is left out."""
    items = [dataset[index] for dataset, index in spread(entries, most)]
    return [
        _fitted(Path(item['data_samples'].img_path).name, rgb_pixels(item['inputs']), info, is_scaled=True)
        for item in items
        if not item['data_samples'].get('unreadable', False)
    ]


def _fitted(name: str, image: np.ndarray, info: ModelInfo, is_scaled: bool = False) -> NamedImage:
    return NamedImage(name, image if is_scaled and info.input_size is None else fit_image(image, info))
