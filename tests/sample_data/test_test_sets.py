"""New test images: other ones than any that were trained on, with a config that finds and scores them."""

from pathlib import Path

import pytest
from mmengine.registry import DATASETS, DefaultScope

from projects.sample_data import use_sample
from projects.sample_data.test_sets import use_new_test_images
from projects.training.config import load_config


@pytest.mark.parametrize(
    ('config', 'suffix'), [('mobilenetv3_retinanet_coco', '.jpg'), ('mobilenetv3_fpn_ade20k', '.jpg')]
)
def test_new_images_are_tested_alone(config, suffix, tmp_path):
    cfg = load_config(f'configs/{config}.py', None, lambda cfg: use_sample(cfg, tmp_path, tiny=True))
    old = {path.read_bytes() for path in tmp_path.rglob(f'*{suffix}')}
    val_root = cfg.val_dataloader.dataset.data_root
    use_new_test_images(cfg, 5, seed=3, root=tmp_path)
    test = cfg.test_dataloader.dataset
    assert Path(test.data_root).name.endswith('_test5_seed3')
    assert cfg.val_dataloader.dataset.data_root == val_root
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = DATASETS.build(test)
    assert len(dataset) == 5
    names = [dataset.get_data_info(index)['img_path'] for index in range(5)]
    assert all(name.startswith(test.data_root) for name in names)
    assert len({Path(name).read_bytes() for name in names} - old) == 5
    if 'ann_file' in cfg.test_evaluator:
        assert cfg.test_evaluator.ann_file == str(Path(test.data_root) / test.ann_file)
        assert val_root in cfg.val_evaluator.ann_file


def test_the_seed_of_training_and_unknown_sets_are_refused(tmp_path):
    cfg = load_config('configs/mobilenetv3_retinanet_coco.py')
    with pytest.raises(ValueError, match='seed 0 draws the images of training and validation'):
        use_new_test_images(cfg, 5, seed=0, root=tmp_path)
    cfg.test_dataloader.dataset.type = 'CocoDataset'
    with pytest.raises(ValueError, match="no generated images for data sets of type 'CocoDataset'"):
        use_new_test_images(cfg, 5, root=tmp_path)
