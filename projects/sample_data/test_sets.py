"""Test images that nothing was trained or chosen on."""

from dataclasses import replace
from pathlib import Path

from mmengine.config import Config

from projects.training.image_scale import nodes_of

from .samples import SAMPLES
from .shrink import SAMPLE_ROOT

TRAINING_IMAGES = 4  # which come with them and are not read


def use_new_test_images(cfg: Config, number: int, seed: int = 1, root: Path = SAMPLE_ROOT) -> None:
    """Give a config that `use_sample` prepared a test set of its own: as many images as are asked for, newly drawn.

    Training and validation stay as they are. The images are written on first use.

    Args:
        cfg: Changed in place.
        number: Of images.
        seed: Of the drawing; not 0, which `use_sample` draws with.
        root: Folder of all generated data sets.

    Raises:
        ValueError: The seed is 0, or no sample is known for the type of the config's data set.
    """
    if seed == 0:
        raise ValueError('seed 0 draws the images of training and validation; choose another one')
    test = cfg.test_dataloader.dataset
    if test.type not in SAMPLES:
        raise ValueError(f'no generated images for data sets of type {test.type!r}, only for {sorted(SAMPLES)}')
    sample = replace(SAMPLES[test.type], num_train_images=TRAINING_IMAGES, num_val_images=number, seed=seed)
    folder = root / f'{Path(test.data_root).name}_test{number}_seed{seed}'
    sample.write(cfg, folder, sample)
    test.data_root = str(folder)
    for metric in nodes_of(cfg.test_evaluator):
        if 'ann_file' in metric:
            metric.ann_file = str(folder / test.ann_file)
