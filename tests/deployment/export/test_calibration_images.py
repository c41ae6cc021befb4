"""What int8 is calibrated on: training images as the test pipeline prepares them, and never the test set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.deployment.export.calibration_images import (
    calibration_images,
    images_of_test_set,
    images_of_training_set,
    plain_sets,
)
from projects.deployment.model_info import ModelInfo
from projects.training.config import ROOT, load_config

CONFIGS = ROOT / 'configs'


def write_pairs(root, image_folder, mask_folder, count, mask_values, seed=0):
    rng = np.random.default_rng(seed)
    for index in range(count):
        for folder, values in ((image_folder, rng.integers(0, 256, (32, 48, 3))), (mask_folder, mask_values)):
            path = root / folder / f'{index}.{"jpg" if folder.startswith("images") else "png"}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(values, np.uint8)).save(path)


@pytest.fixture
def cfg(tmp_path):
    """A segmentor with 12 images of noise to train on and 3 to test with."""
    labels = np.random.default_rng(0).integers(1, 151, (32, 48))
    write_pairs(tmp_path, 'images/training', 'annotations/training', 12, labels)
    write_pairs(tmp_path, 'images/validation', 'annotations/validation', 3, labels, seed=1)
    return load_config(CONFIGS / 'mobilenetv3_fpn_ade20k.py', {'data_root': str(tmp_path)})


def pixels(images):
    return [image.pixels.tobytes() for image in images]


def test_images_come_as_the_test_pipeline_prepares_them(cfg):
    info = ModelInfo.from_config(cfg)
    found = calibration_images([], cfg, info, 100)
    assert len(found) == 12
    assert not set(pixels(found)) & set(pixels(images_of_test_set(cfg, info, 100)))
    cfg.test_dataloader.dataset.data_prefix = cfg.train_dataloader.dataset.data_prefix
    assert pixels(found) == pixels(images_of_test_set(cfg, info, 100))


def test_an_image_that_cannot_be_read_is_no_black_one(cfg, tmp_path):
    broken = tmp_path / 'images' / 'training' / '3.jpg'
    broken.write_bytes(broken.read_bytes()[:100])
    cfg.train_dataloader.dataset.max_unreadable_share = 0.2
    found = images_of_training_set(cfg, ModelInfo.from_config(cfg), 100)
    assert len(found) == 11
    assert min(image.pixels.std() for image in found) > 10


def test_training_images_that_are_tested_on_are_left_out(cfg, tmp_path):
    """By a link of another name, as copies of data sets have them."""
    for folder, suffix in (('images', 'jpg'), ('annotations', 'png')):
        link = tmp_path / folder / 'validation' / f'again.{suffix}'
        link.symlink_to(tmp_path / folder / 'training' / f'5.{suffix}')
    found = images_of_training_set(cfg, ModelInfo.from_config(cfg), 100)
    assert '5.jpg' not in [image.name for image in found]
    assert len(found) == 11


def test_where_there_is_nothing_but_the_test_set_it_is_an_error_of_one_line(cfg):
    info = ModelInfo.from_config(cfg)
    prefix = cfg.test_dataloader.dataset.data_prefix
    cfg.train_dataloader.dataset.data_prefix = prefix
    with pytest.raises(ValueError, match=r'all 3 training images belong to the test set.*--calibration$'):
        calibration_images([], cfg, info, 100)
    cfg.train_dataloader = None
    with pytest.raises(ValueError, match=r'no training set to calibrate on: name images with --calibration$'):
        calibration_images([], cfg, info, 100)
    with pytest.raises(ValueError, match=r'3 of 3 images belong to the test set of .*0\.jpg: name others$'):
        calibration_images([str(Path(cfg.data_root, prefix.img_path))], cfg, info, 100)


def test_images_that_are_named_are_taken_if_they_are_not_the_test_set(cfg, tmp_path):
    info = ModelInfo.from_config(cfg)
    assert len(calibration_images([str(tmp_path / 'images' / 'training')], cfg, info, 8)) == 8
    cfg.test_dataloader.dataset.data_root = str(tmp_path / 'nowhere')  # then nothing is scored on it
    assert len(calibration_images([str(tmp_path / 'images')], cfg, info, 100)) == 15


def test_the_parts_of_a_mixed_set_count_once(tmp_path):
    """However often they are trained on; it is of another type than the test set, which is no reason to take val."""
    building = np.pad(np.full((8, 24), 255), 12)
    for seed, (split, count) in enumerate({'source': 5, 'target': 2, 'val': 3, 'test': 3}.items()):
        write_pairs(tmp_path / split, 'images', 'masks', count, building, seed)
    cfg = load_config(CONFIGS / 'buildings' / 'shvit_unet_scenes_mixed.py', {'data_root': str(tmp_path)})
    assert cfg.train_dataloader.dataset.times == [1, 4]
    found = calibration_images([], cfg, ModelInfo.from_config(cfg), 100)
    assert len({image.pixels.tobytes() for image in found}) == len(found) == 7


def test_wrappers_are_taken_apart():
    plain = [{'type': 'A', 'data_root': 'a'}, {'type': 'B', 'data_root': 'b'}]
    wrapped = {
        'type': 'ConcatDataset',
        'datasets': [{'type': 'RepeatDataset', 'times': 3, 'dataset': plain[0]}, plain[1]],
    }
    assert plain_sets(wrapped) == plain
    assert plain_sets({}) == []
