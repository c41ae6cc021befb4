"""`--sample` on configs of all kinds: sizes, schedule, data; written by hand in the shape of mmseg's and mmdet's."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

import projects.training  # noqa: F401 (registers the data sets)
from projects.sample_data import use_sample
from projects.sample_data.coco import CocoSplit
from projects.sample_data.samples import SAMPLES
from projects.training.config import load_config

BUILDING_LEAVES = {
    path.stem: path for path in sorted((Path(__file__).parents[2] / 'configs' / 'buildings').glob('*_*_*.py'))
}
RUNTIME = {
    'default_hooks': {
        'logger': {'type': 'LoggerHook', 'interval': 50},
        'checkpoint': {'type': 'CheckpointHook', 'interval': 4000},
        'visualization': {'type': 'PredictionPictures'},
    },
    'custom_hooks': [{'type': 'Curves'}],
    'optim_wrapper': {
        'type': 'OptimWrapper',
        'optimizer': {'type': 'AdamW', 'lr': 6e-5, 'weight_decay': 0.01},
        'paramwise_cfg': {'norm_decay_mult': 0.0, 'custom_keys': {'head': {'lr_mult': 10.0, 'decay_mult': 0.5}}},
    },
    'auto_scale_lr': {'enable': True, 'base_batch_size': 16},
    'load_from': 'somewhere.pth',
}
LAYOUTS = {
    'CheckedADE20KDataset': (
        'data/ade/ADEChallengeData2016',
        'images/{0}',
        'annotations/{0}',
        'training',
        'validation',
    ),
    'CheckedCityscapesDataset': ('data/cityscapes/', 'leftImg8bit/{0}', 'gtFine/{0}', 'train', 'val'),
}
PARTS = ('train', 'val', 'test')


def segmentation_config(tmp_path, dataset_type, scale, crop_size) -> Config:
    data_root, img_path, seg_map_path, *splits = LAYOUTS[dataset_type]
    pipelines = [
        [
            {'type': 'LoadImage'},
            {'type': 'LoadSegmentation'},
            {'type': 'RandomResize', 'scale': scale, 'ratio_range': (0.5, 2.0), 'keep_ratio': True},
            {'type': 'RandomCrop', 'crop_size': crop_size, 'cat_max_ratio': 0.75},
            {'type': 'RandomFlip', 'prob': 0.5},
            {'type': 'PhotoMetricDistortion'},
            {'type': 'PackSegInputs'},
        ],
        [
            {'type': 'LoadImage'},
            {'type': 'Resize', 'scale': scale, 'keep_ratio': True},
            {'type': 'LoadSegmentation'},
            {'type': 'PackSegInputs'},
        ],
    ]
    train, val = (
        {
            'batch_size': 4,
            'num_workers': 4,
            'persistent_workers': True,
            'dataset': {
                'type': dataset_type,
                'data_root': data_root,
                'data_prefix': {'img_path': img_path.format(split), 'seg_map_path': seg_map_path.format(split)},
                'pipeline': pipeline,
            },
        }
        for split, pipeline in zip(splits, pipelines, strict=True)
    )
    cfg = {
        'data_root': data_root,
        'train_dataloader': train,
        'val_dataloader': val,
        'test_dataloader': val,
        'val_evaluator': {'type': 'IoUMetric', 'iou_metrics': ['mIoU']},
        'test_evaluator': {'type': 'IoUMetric', 'iou_metrics': ['mIoU']},
        'tta_pipeline': [
            {
                'type': 'TestTimeAug',
                'transforms': [
                    [
                        {'type': 'Resize', 'scale': (2 * scale[0], 2 * scale[1]), 'keep_ratio': True},
                        {'type': 'Resize', 'scale_factor': 0.5, 'keep_ratio': True},
                    ],
                    [{'type': 'RandomFlip', 'prob': 1.0}],
                ],
            }
        ],
        'model': {
            'type': 'EncoderDecoder',
            'data_preprocessor': {'type': 'SegDataPreProcessor', 'size': crop_size},
            'backbone': {'type': 'SHViT', 'pretrained': True},
            'decode_head': [{'type': 'FPNHead', 'channels': 128}],
            'train_cfg': {},
            'test_cfg': {'mode': 'slide', 'crop_size': crop_size, 'stride': (341, 341)},
        },
        'train_cfg': {'type': 'ResumableIterTrainLoop', 'max_iters': 40000, 'val_interval': 4000},
        'param_scheduler': [{'type': 'PolyLR', 'by_epoch': False, 'end': 40000}],
    }
    return Config(copy.deepcopy(cfg | RUNTIME), cfg_text='by hand', filename=str(tmp_path / 'mine_ade20k.py'))


@pytest.fixture
def ade20k(tmp_path):
    return segmentation_config(tmp_path, 'CheckedADE20KDataset', (2048, 512), (512, 512))


@pytest.fixture
def cityscapes(tmp_path):
    return segmentation_config(tmp_path, 'CheckedCityscapesDataset', (2048, 1024), (512, 1024))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Generated sets that the tests share."""
    return tmp_path_factory.mktemp('sample')


def sizes(cfg):
    return {
        'train': cfg.train_dataloader.dataset.pipeline[2].scale,
        'crop': cfg.train_dataloader.dataset.pipeline[3].crop_size,
        'val': cfg.val_dataloader.dataset.pipeline[1].scale,
        'test': cfg.test_dataloader.dataset.pipeline[1].scale,
        'tta': cfg.tta_pipeline[0].transforms[0][0].scale,
        'padded': cfg.model.data_preprocessor.size,
        'window': cfg.model.test_cfg.crop_size,
        'stride': cfg.model.test_cfg.stride,
    }


def test_ade20k_sizes(ade20k, root):  # 512 becomes 64
    use_sample(ade20k, root, tiny=True)
    assert sizes(ade20k) == {
        **dict.fromkeys(('train', 'val', 'test'), (256, 64)),
        **dict.fromkeys(('crop', 'padded', 'window'), (64, 64)),
        'tta': (512, 128),
        'stride': (43, 43),
    }
    assert ade20k.train_dataloader.dataset.pipeline[2].ratio_range == (1.0, 1.0)
    assert ade20k.tta_pipeline[0].transforms[0][1].scale_factor == 0.5


def test_cityscapes_sizes(cityscapes, root):  # 1024 becomes 64
    use_sample(cityscapes, root, tiny=True)
    assert sizes(cityscapes) == {
        **dict.fromkeys(('train', 'val', 'test'), (128, 64)),
        **dict.fromkeys(('crop', 'padded', 'window'), (32, 64)),
        'tta': (256, 128),
        'stride': (21, 21),
    }


def test_pipelines_that_share_a_transform_shrink_once(ade20k, root):
    ade20k.test_dataloader.dataset.pipeline = ade20k.val_dataloader.dataset.pipeline
    use_sample(ade20k, root, tiny=True)
    assert ade20k.test_dataloader.dataset.pipeline[1].scale == (256, 64)


@pytest.mark.parametrize('name', ['ade20k', 'cityscapes'])
def test_the_full_sample_has_sizes_of_its_own(name, tmp_path, request, monkeypatch):
    monkeypatch.setattr('projects.sample_data.samples.write_ade20k_sample', lambda *arguments: None)
    monkeypatch.setattr('projects.sample_data.samples.write_cityscapes_sample', lambda *arguments: None)
    cfg = request.getfixturevalue(name)
    use_sample(cfg, tmp_path)
    side = cfg.train_dataloader.dataset.pipeline[2].scale[1]
    assert side == 128
    assert [transform.get('keep_mib') for transform in cfg.train_dataloader.dataset.pipeline[:3]] == [64, 64, None]
    assert cfg.data_root == str(tmp_path / {'ade20k': 'ADEChallengeData2016', 'cityscapes': 'cityscapes'}[name])
    sample = SAMPLES[cfg.train_dataloader.dataset.type]
    assert cfg.train_cfg.max_iters == cfg.train_cfg.val_interval == sample.length >= 100
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == sample.batch_size
    assert cfg.default_hooks.checkpoint.interval == sample.length / 4  # so much is lost where a training is killed
    assert cfg.default_hooks.visualization.type == 'PredictionPictures'
    assert cfg.custom_hooks
    assert cfg.work_dir == 'work_dirs/mine_ade20k_sample'


def test_the_schedule_counts_iterations(ade20k, root):
    use_sample(ade20k, root, tiny=True)
    assert ade20k.train_cfg == {'type': 'ResumableIterTrainLoop', 'max_iters': 1, 'val_interval': 1}
    warmup, decay = ade20k.param_scheduler
    assert (warmup.type, warmup.by_epoch, warmup.end) == ('LinearLR', False, 20)
    assert decay == {
        'type': 'CosineAnnealingLR',
        'end': 1,
        'T_max': 1,
        'by_epoch': False,
        'convert_to_iter_based': False,
    }
    assert ade20k.optim_wrapper.optimizer.lr == SAMPLES['CheckedADE20KDataset'].learning_rate
    assert ade20k.optim_wrapper.optimizer.weight_decay == 0.01  # the recipe's
    assert ade20k.optim_wrapper.paramwise_cfg == {'norm_decay_mult': 0.0, 'custom_keys': {'head': {'decay_mult': 0.5}}}
    assert ade20k.default_hooks.logger.interval == 10


def test_the_network_starts_from_random_weights(ade20k, root):
    del ade20k.model['test_cfg']
    use_sample(ade20k, root, tiny=True)
    assert ade20k.model.backbone == {'type': 'SHViT', 'pretrained': False, 'norm_eval': False}
    assert ade20k.load_from is None


def test_a_network_whose_weights_are_installed_starts_from_them(root):
    backbone = building_config('efficientnet_lite0_unet_tiles', root).model.backbone
    assert (backbone.arch, backbone.pretrained, backbone.norm_eval) == ('tf_efficientnet_lite0', True, False)


@pytest.mark.parametrize('name', ['ade20k', 'cityscapes'])
def test_data_sets_find_their_files(name, root, request):
    cfg = request.getfixturevalue(name)
    use_sample(cfg, root, tiny=True)
    init_default_scope('mmseg')
    train, val = (DATASETS.build(cfg[f'{split}_dataloader'].dataset) for split in ('train', 'val'))
    assert len(train) == cfg.train_dataloader.batch_size == 2
    assert len(val) == 2
    for index in range(2):
        height, width = train[index]['inputs'].shape[1:]
        assert 32 <= height <= cfg.model.data_preprocessor.size[0]
        assert 32 <= width <= cfg.model.data_preprocessor.size[1]
        assert train[index]['data_samples'].gt_sem_seg.data.shape[1:] == (height, width)
        assert min(val[index]['inputs'].shape[1:]) == 64


def test_a_tiny_sample_writes_nothing_but_the_log(ade20k, root):
    use_sample(ade20k, root, tiny=True)
    assert ade20k.default_hooks.checkpoint is None
    assert 'visualization' not in ade20k.default_hooks
    assert ade20k.custom_hooks == []
    assert ade20k.data_root == str(root / 'ADEChallengeData2016_tiny')  # beside the full one, not instead of it


def coco_config(tmp_path) -> Config:
    pipeline = [{'type': 'LoadImage'}, {'type': 'Resize', 'scale': (1333, 800), 'keep_ratio': True}]
    dataset = {'type': 'CheckedCocoDataset', 'data_root': 'data/coco/', 'pipeline': pipeline}
    split = {'ann_file': 'annotations/{}.json', 'data_prefix': {'img': '{}/'}}
    parts = {
        f'{part}_dataloader': {
            'batch_size': 2,
            'dataset': dataset
            | {
                'ann_file': split['ann_file'].format('train' if part == 'train' else 'val'),
                'data_prefix': {'img': 'train/' if part == 'train' else 'val/'},
            },
        }
        for part in PARTS
    }
    sampler = {'type': 'ReproducibleRandomSampler', 'num': 512}
    cfg = {
        **parts,
        'data_root': 'data/coco/',
        'val_evaluator': {'type': 'CocoScores', 'ann_file': 'data/coco/annotations/val.json'},
        'test_evaluator': {'type': 'CocoScores', 'ann_file': 'data/coco/annotations/val.json'},
        'model': {
            'data_preprocessor': {'type': 'DetDataPreprocessor', 'pad_size_divisor': 32},
            'backbone': {'type': 'SHViT', 'pretrained': True, 'norm_eval': True},
            'train_cfg': {
                'rpn': {'sampler': sampler | {'num': 256, 'add_gt_as_proposals': False}},
                'rpn_proposal': {'nms_pre': 2000},
                'rcnn': {'sampler': sampler | {'add_gt_as_proposals': True}},
            },
            'test_cfg': {'rpn': {'nms_pre': 1000}},
        },
        'train_cfg': {'type': 'ResumableTrainLoop', 'max_epochs': 12, 'val_interval': 1},
        'param_scheduler': [],
    }
    return Config(copy.deepcopy(cfg | RUNTIME), cfg_text='by hand', filename=str(tmp_path / 'mine_coco.py'))


def test_coco(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr('projects.sample_data.samples.write_coco_sample', lambda *arguments: written.append(arguments))
    cfg = coco_config(tmp_path)
    use_sample(cfg, tmp_path)
    root = tmp_path / 'coco'
    train = CocoSplit('annotations/train.json', 'train/', 128)
    val = CocoSplit('annotations/val.json', 'val/', 16, num_empty=1)
    assert written == [(root, [train, val], CocoDataset.METAINFO['classes'], (160, 160), 0)], (
        'with the seed of every sample'
    )
    for part in PARTS:
        assert cfg[f'{part}_dataloader'].dataset.pipeline[1].scale == (267, 160)
        assert cfg[f'{part}_dataloader'].dataset.data_root == str(root)
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == str(root / 'annotations/val.json')
    assert cfg.train_cfg == {'type': 'ResumableTrainLoop', 'max_epochs': 6, 'val_interval': 6}
    assert cfg.param_scheduler[1] == {
        'type': 'CosineAnnealingLR',
        'end': 6,
        'T_max': 6,
        'by_epoch': True,
        'convert_to_iter_based': True,
    }
    assert cfg.optim_wrapper.optimizer.lr == 3e-4
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 2
    assert cfg.default_hooks.checkpoint.interval == 4000  # a checkpoint is written as often as the recipe says
    limits = cfg.model.train_cfg
    assert (limits.rpn.sampler.num, limits.rcnn.sampler.num, limits.rpn_proposal.nms_pre) == (256, 64, 500)
    assert cfg.model.test_cfg.rpn.nms_pre == 1000


def test_tiny_coco_trains_for_one_step(tmp_path):
    cfg = coco_config(tmp_path)
    use_sample(cfg, tmp_path, tiny=True)
    content = json.loads((tmp_path / 'coco_tiny/annotations/train.json').read_text())
    assert len(content['images']) == cfg.train_dataloader.batch_size == 2
    assert {annotation['image_id'] for annotation in content['annotations']} == {i['id'] for i in content['images']}
    assert cfg.train_dataloader.dataset.pipeline[1].scale == (107, 64)
    assert cfg.train_cfg.max_epochs == 1
    limits = cfg.model.train_cfg
    assert (limits.rpn.sampler.num, limits.rcnn.sampler.num, limits.rpn_proposal.nms_pre) == (256, 8, 50)


@pytest.mark.parametrize(('recipe', 'sample'), [(1e-4, 3e-4), (5e-4, 5e-4), (4e-3, 1e-3)])
def test_a_recipe_with_a_high_learning_rate_keeps_it_within_limits(tmp_path, recipe, sample):
    cfg = coco_config(tmp_path)
    cfg.optim_wrapper.optimizer.lr = recipe
    use_sample(cfg, tmp_path, tiny=True)
    assert cfg.optim_wrapper.optimizer.lr == sample


def test_an_unknown_data_set_is_refused(ade20k, root):
    ade20k.train_dataloader.dataset.type = 'VOCDataset'
    with pytest.raises(ValueError, match=r"type 'VOCDataset', only for \['Bonai.*'CheckedADE20KDataset', 'CheckedCi"):
        use_sample(ade20k, root)


def test_a_pipeline_without_a_size_is_refused(ade20k, root):
    for part in PARTS:
        ade20k[f'{part}_dataloader'].dataset.pipeline = [{'type': 'LoadImage'}, {'type': 'PackSegInputs'}]
    ade20k.tta_pipeline = []
    with pytest.raises(ValueError, match=r'no transform of .*mine_ade20k\.py has a scale or crop_size: add'):
        use_sample(ade20k, root, tiny=True)


def building_config(name, root, tiny=True, **options) -> Config:
    return load_config(BUILDING_LEAVES[name], options, lambda cfg: use_sample(cfg, root, tiny))


@pytest.mark.parametrize('name', BUILDING_LEAVES)
def test_building_leaves_find_images_of_64_px_and_the_heights_of_buildings(name, root):
    cfg = building_config(name, root)
    init_default_scope(cfg.default_scope)
    train, val, test = (DATASETS.build(cfg[f'{part}_dataloader'].dataset) for part in PARTS)
    assert len(train) >= cfg.train_dataloader.batch_size == 2
    assert len(val) == len(test) == 2
    smaller = {'efficientnet_lite0_unet_drone': (48, 32), 'shvit_roofoffsets_bonai': (48, 64)}
    crop, side = smaller.get(name, (64, 64))  # the drone's at half the resolution of its tiles
    assert train[0]['inputs'].shape[1:] == (crop, crop) or 'maskrcnn' in name
    for sample in (dataset[index]['data_samples'] for dataset in (val, test) for index in range(2)):
        assert sample.img_shape == (side, side)
        if name == 'shvit_unet_masks':
            assert 'building_ids' not in sample
            continue
        ids, heights_m = sample.building_ids, sample.building_heights_m
        assert ids.shape == (64, 64)
        assert ids.max() > 0
        assert (heights_m[np.unique(ids[ids > 0])] > 2).all()
        if 'unet' in name:
            np.testing.assert_array_equal(sample.gt_sem_seg.data[0] == 1, ids > 0)


@pytest.fixture
def written(monkeypatch):
    """Arguments of the sets of buildings that would be written."""
    calls = []
    for name in ('write_scenes_sample', 'write_bonai_sample'):
        monkeypatch.setattr(f'projects.sample_data.samples.{name}', lambda *args, **options: calls.append(args))
    return calls


def test_leaves_for_the_scenes_share_one_set(tmp_path, written):
    for name in BUILDING_LEAVES:
        if 'scenes' in name and 'offsets' not in name:
            building_config(name, tmp_path, tiny=False)
    assert len(written) == 15  # seven roles of two networks, and the detector
    assert all(arguments == written[0] for arguments in written)
    assert written[0][1] == {'source': 160, 'target': 40, 'val': 16, 'test': 16}


def test_leaves_for_bonai_share_one_set(tmp_path, written):
    for name in ('shvit_unet_bonai', 'shvit_maskrcnn_bonai', 'shvit_roofoffsets_bonai'):
        building_config(name, tmp_path, tiny=False)
    assert written[0] == written[1] == written[2]
    assert [(Path(file.ann_file).stem, file.image_dir, file.num_images) for file in written[0][1]] == [
        *((f'bonai_{city}_trainval', 'trainval/images', 40) for city in ('shanghai', 'beijing', 'chengdu', 'haerbin')),
        ('bonai_jinan_trainval', 'trainval/images', 16),
        ('bonai_shanghai_xian_test', 'test/images', 16),
    ]


def test_roofs_with_offsets_have_a_set_of_their_own(tmp_path, written):
    cfg = building_config('shvit_roofoffsets_scenes', tmp_path, tiny=False)
    folder, num_tiles, *_ = written[0]
    assert (folder, num_tiles) == (tmp_path / 'roof_scenes', {'source': 100, 'val': 16, 'test': 16})
    assert cfg.train_cfg.max_epochs == 4


def test_a_split_of_another_name_is_written_too(tmp_path, written):
    cfg = Config.fromfile(BUILDING_LEAVES['shvit_unet_scenes_student'])
    cfg.train_dataloader.dataset.data_prefix = {'img_path': 'train/images', 'seg_map_path': 'train/masks'}
    use_sample(cfg, tmp_path)
    assert written[0][1] == {'source': 160, 'target': 40, 'val': 16, 'test': 16, 'train': 40}


def test_crops_shrink_where_nothing_is_resized(root):
    cfg = building_config('shvit_unet_masks', root)
    assert cfg.train_dataloader.dataset.pipeline[2] == {'type': 'CropSegmentation', 'crop_size': (64, 64)}


def test_the_evaluators_that_read_annotations_follow(root):
    cfg = building_config('shvit_maskrcnn_bonai', root)
    assert [metric.get('ann_file') for metric in cfg.val_evaluator] == [
        str(root / 'BONAI_tiny/coco/bonai_jinan_trainval.json'),
        None,
    ]
    assert cfg.test_evaluator[0].ann_file == str(root / 'BONAI_tiny/coco/bonai_shanghai_xian_test.json')


def test_transfer_starts_from_the_sample_run_of_the_teacher(root):
    teacher = building_config('shvit_unet_scenes_teacher', root)
    left_behind = f'{teacher.work_dir}/iter_{teacher.train_cfg.max_iters}.pth'
    assert teacher.load_from is None
    for name in ('sda', 'sda_gradual'):
        assert building_config(f'shvit_unet_scenes_{name}', root).load_from == left_behind
    distilled = building_config('shvit_unet_scenes_kd', root)
    assert distilled.load_from is None
    assert distilled.model.teacher == {
        'config': 'configs/buildings/shvit_unet_scenes_teacher.py',
        'checkpoint': left_behind,
    }


def test_another_teacher_can_still_be_given(root):
    options = {'load_from': 'mine.pth'}
    assert building_config('shvit_unet_scenes_sda', root, **options).load_from == 'mine.pth'


@pytest.mark.usefixtures('written')
def test_gradual_fine_tuning_reaches_the_stem_in_a_sample_run_too(tmp_path):
    cfg = building_config('shvit_unet_scenes_sda_gradual', tmp_path, tiny=False)
    assert cfg.default_hooks.gradual.phase_iters * 5 == cfg.train_cfg.max_iters
    assert [schedule.type for schedule in cfg.param_scheduler] == ['LinearLR']
