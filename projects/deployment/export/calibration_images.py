"""Images to calibrate and to verify with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope, init_default_scope

from projects.training.config import load_config

from ..model_info import ModelInfo
from ..prediction.image_files import IMAGE, find_inputs, read_image
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
    paths = [file.path for file in find_inputs(given) if file.kind == IMAGE]
    if not paths:
        raise ValueError(f'{" ".join(given)}: no images; rasters and videos have to be cut into images first')
    return [_fitted(path.name, read_image(path), info) for path in spread(paths, most or len(paths))]


def images_of_dataset(cfg: Config, split: str, info: ModelInfo, most: int) -> list[NamedImage]:
    """Read images of a config's data set through its test pipeline, evenly spread.

    Args:
        cfg: The config.
        split: 'test', or 'train' for the pictures that the model was trained on, where these are a data set of the same
            kind; else those of 'val'.
        info: What the images are for.
        most: Number of images at most.

    Raises:
        FileNotFoundError: The data set is not there.
    """
    dataset = _dataset_config(cfg, split)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        try:
            built = DATASETS.build(dataset)
        except (FileNotFoundError, ValueError) as error:
            raise FileNotFoundError(
                f'no images of the data set: {error}. Name your own (--images, --calibration) or use --sample'
            ) from error
        chosen = [built[index] for index in spread(range(len(built)), most)]
    return [
        _fitted(Path(item['data_samples'].img_path).name, rgb_pixels(item['inputs']), info, is_scaled=True)
        for item in chosen
    ]


def calibration_images(given: Sequence[str], cfg: Config, info: ModelInfo, most: int) -> list[NamedImage]:
    """Images of files, folders, globs or of the training set of a config (`.py`); by default of `cfg` itself.

    They come from the training set because calibration on the test set would flatter the scores that follow.
    """
    if len(given) == 1 and given[0].endswith('.py'):
        cfg = load_config(given[0])
        init_default_scope(cfg.default_scope)
        return images_of_dataset(cfg, 'train', info, most)
    return images_of_files(given, info, most) if given else images_of_dataset(cfg, 'train', info, most)


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly spread, in their order."""
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _dataset_config(cfg: Config, split: str) -> dict[str, Any]:
    test = cfg.test_dataloader.dataset
    if split == 'test':
        return test.copy()
    source = cfg.train_dataloader.dataset
    if source.type != test.type:
        source = cfg.val_dataloader.dataset
    where = {key: source[key] for key in ('data_root', 'ann_file', 'data_prefix') if key in source}
    return {**test, **where}


def _fitted(name: str, image: np.ndarray, info: ModelInfo, is_scaled: bool = False) -> NamedImage:
    return NamedImage(name, image if is_scaled and info.input_size is None else fit_image(image, info))
