"""The configs of the building data sets train a step on generated files in the exact layouts, and are scored."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS
from PIL import Image

from projects.building_extraction.datasets import bonai, building_tiles, loading  # noqa: F401 (registers)
from projects.training.config import load_config
from projects.training.launch import set_up
from projects.training.runner import Runner

CONFIGS = Path(__file__).parents[3] / 'configs' / 'buildings'
SIDE = 64


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


BOXES = [(8, 8, 24, 24), (36, 30, 60, 52)]  # left, top, right, bottom


def building_ids():
    ids = np.zeros((SIDE, SIDE), np.uint16)
    for number, (left, top, right, bottom) in enumerate(BOXES, start=1):
        ids[top:bottom, left:right] = number
    return ids


def coco_file(path, suffix, **more):
    rings = [[left, top, right, top, right, bottom, left, bottom] for left, top, right, bottom in BOXES]
    annotations = [
        {
            'id': 2 * image + number + 1,
            'image_id': image,
            'category_id': 1,
            'iscrowd': 0,
            'bbox': [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            'area': (box[2] - box[0]) * (box[3] - box[1]),
            'segmentation': [ring],
            'building_height': [8.5, math.nan][number],
            **({'roof_mask': ring, 'footprint_mask': ring, 'offset': [0, 0], 'ignore_flag': 0} if more else {}),
        }
        for image in (0, 1)
        for number, (box, ring) in enumerate(zip(BOXES, rings, strict=True))
    ]
    images = [{'id': image, 'file_name': f'{image}{suffix}', 'width': SIDE, 'height': SIDE} for image in (0, 1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'building'}]}
    path.write_text(json.dumps(content))


def write_whu(root):
    for split in ('train', 'val'):
        for index in range(2):
            save(root / split / 'image' / f'{index}.tif', picture(index))
            save(root / split / 'label' / f'{index}.tif', np.uint8(255) * (building_ids() > 0))


def write_tiles(root):
    write_scenes(root, ('train', 'val'))


def write_scenes(root, splits=('target', 'val')):
    for split in splits:
        for index in range(2):
            save(root / split / 'images' / f'{index}.png', picture(index))
            save(root / split / 'masks' / f'{index}.png', np.uint8(255) * (building_ids() > 0))
            save(root / split / 'instances' / f'{index}.png', building_ids())
            table = root / split / 'buildings' / f'{index}.json'
            table.parent.mkdir(exist_ok=True)
            table.write_text('[{"instance": 1, "height_m": 8.5}, {"instance": 2, "height_m": null}]')
        coco_file(root / split / 'instances.json', '.png')


def write_roof_scenes(root):
    write_scenes(root, ('source', 'val', 'test'))


def write_bonai(root):
    for split in ('trainval', 'test'):
        for index in range(2):
            save(root / split / 'images' / f'{index}.png', picture(index))
    for city in ('shanghai', 'beijing', 'jinan', 'haerbin', 'chengdu'):
        coco_file(root / 'coco' / f'bonai_{city}_trainval.json', '.png', layer='BONAI')
    coco_file(root / 'coco/bonai_shanghai_xian_test.json', '.png', layer='BONAI')


def shrink(cfg, root):
    """One step on two images, from random weights."""
    cfg.data_root = str(root)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(root)
        for step in loader.dataset.pipeline:
            for key in {'scale', 'crop_size'} & set(step):
                step[key] = (SIDE, SIDE)
    for part in (*ensure_list(cfg.val_evaluator), *ensure_list(cfg.test_evaluator)):
        if 'ann_file' in part:
            part.ann_file = str(root / part.ann_file.split('data/', 1)[1].split('/', 1)[1])
    cfg.train_dataloader.batch_size = 2
    cfg.model.backbone.pretrained = False
    if 'size' in cfg.model.data_preprocessor:
        cfg.model.data_preprocessor.size = (SIDE, SIDE)
    for node in ('rpn', 'rcnn'):
        if 'train_cfg' in cfg.model and node in cfg.model.train_cfg:
            cfg.model.train_cfg[node].sampler.num = 32
    by_epoch = 'max_epochs' in cfg.train_cfg
    cfg.train_cfg.update({'max_epochs' if by_epoch else 'max_iters': 1, 'val_interval': 1})
    cfg.param_scheduler = []
    cfg.auto_scale_lr = None
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.pop('visualization', None)
    cfg.custom_hooks = []


def ensure_list(value):
    return value if isinstance(value, list) else [value]


LEAVES = {
    'shvit_unet_masks': write_whu,
    'shvit_unet_bonai': write_bonai,
    'shvit_maskrcnn_scenes': write_scenes,
    'shvit_unet_tiles': write_tiles,
    'shvit_maskrcnn_tiles': write_tiles,
    'efficientnet_lite0_unet_drone': write_tiles,
    'efficientnet_lite0_maskrcnn_tiles': write_tiles,
    'shvit_maskrcnn_bonai': write_bonai,
    'shvit_roofoffsets_scenes': write_roof_scenes,
    'efficientnet_lite0_roofoffsets_scenes': write_roof_scenes,
    'shvit_roofoffsets_bonai': write_bonai,
}


@pytest.mark.parametrize(('name', 'write'), LEAVES.items(), ids=LEAVES)
def test_a_config_trains_a_step_and_is_scored(tmp_path, name, write):
    write(tmp_path / 'data')
    cfg = load_config(CONFIGS / f'{name}.py', None, lambda cfg: shrink(cfg, tmp_path / 'data'))
    set_up(cfg, tmp_path / 'run')
    torch.manual_seed(0)
    runner = Runner.from_cfg(cfg)
    scored, metric = [], runner.val_evaluator.metrics[-1]

    def record(batch, samples, process=metric.process):
        scored.extend(samples)
        process(batch, samples)

    metric.process = record
    weights = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert any(not torch.equal(value, weights[key]) for key, value in runner.model.state_dict().items())
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100
    assert len(scored) == 2
    for sample in scored:
        if name == 'shvit_unet_masks':
            assert 'building_ids' not in sample
        else:
            np.testing.assert_array_equal(sample['building_ids'], building_ids())
            np.testing.assert_array_equal(sample['building_heights_m'], np.float32([np.nan, 8.5, np.nan]))


@pytest.mark.parametrize('name', ['shvit_unet_tiles', 'efficientnet_lite0_unet_drone'])
def test_flipped_views_are_mirrored_back_and_averaged(tmp_path, name):
    write_tiles(tmp_path / 'data')
    cfg = load_config(CONFIGS / f'{name}.py', None, lambda cfg: shrink(cfg, tmp_path / 'data'))
    set_up(cfg, tmp_path / 'run')
    torch.manual_seed(0)
    cfg.model = {**cfg.tta_model, 'module': cfg.model}
    model = Runner.from_cfg(cfg).model.eval()
    views = DATASETS.build({**cfg.val_dataloader.dataset, 'pipeline': cfg.tta_pipeline})[0]
    assert [sample.flip_direction for sample in views['data_samples']] == [None, 'horizontal', 'vertical']
    expected = []
    for inputs, sample, axes in zip(views['inputs'], views['data_samples'], ([], [-1], [-2]), strict=True):
        as_it_is = sample.clone()
        as_it_is.set_metainfo({'flip': False, 'flip_direction': None})
        (found,) = model.module.test_step({'inputs': [inputs], 'data_samples': [as_it_is]})
        expected.append(found.seg_logits.data.flip(axes))
    batch = {'inputs': [[one] for one in views['inputs']], 'data_samples': [[one] for one in views['data_samples']]}
    (merged,) = model.test_step(batch)
    torch.testing.assert_close(merged.seg_logits.data, torch.stack(expected).mean(0))
    assert not torch.allclose(expected[0], expected[1])
    assert torch.equal(merged.gt_sem_seg.data, views['data_samples'][0].gt_sem_seg.data)


def test_a_config_that_an_earlier_run_kept_still_loads(tmp_path):
    imports = dict(load_config('configs/buildings/shvit_unet_tiles.py').custom_imports)
    name = 'projects.building_extraction.datasets'
    earlier = [f'{name}.registered' if module == name else module for module in imports['imports']]
    assert f'{name}.registered' in earlier
    kept = tmp_path / 'kept.py'
    base = CONFIGS / 'shvit_unet_tiles.py'
    kept.write_text(
        f"_base_ = '{base}'\ncustom_imports = dict(_delete_=True, imports={earlier!r}, allow_failed_imports=False)\n"
    )
    assert load_config(kept).train_dataloader.dataset.type == load_config(base).train_dataloader.dataset.type
