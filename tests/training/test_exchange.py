"""Checkpoints go from here to OpenMMLab's own programs and back; segmentors are tested in all of mmseg's ways."""

import numpy as np
import pytest
import torch
from mmdet.apis import inference_detector, init_detector
from mmengine.runner import Runner as MMEngineRunner
from mmseg.apis import inference_model, init_model
from PIL import Image

from projects.sample_data import use_sample
from projects.training import launch
from projects.training.config import ROOT, load_config
from projects.training.runner import Runner
from tests.narrow import ONE_STAGE, TWO_STAGE

SEGMENTOR = ROOT / 'configs' / 'efficientvit_mit_b0_seg_cityscapes.py'
DETECTOR = ROOT / 'configs' / 'shvit_s1_maskrcnn_coco.py'
RETINA_NET = ROOT / 'configs' / 'shvit_retinanet_coco.py'
NARROW = {
    DETECTOR: TWO_STAGE
    | {
        'model.test_cfg.rpn.max_per_img': 100,
        'model.test_cfg.rcnn.max_per_img': 20,
    },
    RETINA_NET: ONE_STAGE | {'model.backbone.arch': 's1'},
}


@pytest.fixture(scope='module')
def load(tmp_path_factory):
    """Loads a config on the tiny sample, with few channels in the heads of detectors, and a work dir of its own."""
    folder = tmp_path_factory.mktemp('exchange')

    def load(path):
        cfg = load_config(path, NARROW.get(path), lambda cfg: use_sample(cfg, folder / 'data', tiny=True))
        cfg.optim_wrapper.type = 'OptimWrapper'
        launch.set_up(cfg, tmp_path_factory.mktemp(path.stem))
        return cfg

    return load


@pytest.fixture(scope='module', params=[SEGMENTOR, DETECTOR], ids=lambda path: path.stem)
def trained(request, load):
    """A config and a checkpoint that Skyline wrote."""
    cfg = load(request.param)
    if 'rcnn' in cfg.model.test_cfg:
        cfg.model.test_cfg.rcnn.score_thr = 0.0  # one step teaches too little to be sure of anything
    by_epoch = cfg.log_processor.by_epoch
    cfg.default_hooks.checkpoint = {'type': 'CheckpointHook', 'by_epoch': by_epoch, 'interval': 1}
    launch.train(cfg)
    return cfg, f'{cfg.work_dir}/{"epoch" if by_epoch else "iter"}_1.pth'


def first_prediction(cfg, checkpoint):
    """Of Skyline's runner: image path and data sample."""
    cfg = cfg.copy()
    cfg.load_from, cfg.resume = checkpoint, False
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    runner.model.eval()
    with torch.no_grad():
        sample = runner.model.test_step(next(iter(runner.test_dataloader)))[0]
    return sample.img_path, sample


def test_openmmlab_loads_our_checkpoints(trained):
    cfg, checkpoint = trained
    path, expected = first_prediction(cfg, checkpoint)
    if cfg.default_scope == 'mmseg':
        theirs = cfg.copy()
        theirs.test_pipeline = cfg.test_dataloader.dataset.pipeline  # the sample has smaller images than the recipe
        result = inference_model(init_model(theirs, checkpoint, device='cpu'), path)
        torch.testing.assert_close(result.seg_logits.data, expected.seg_logits.data, rtol=1e-5, atol=1e-5)
    else:
        result = inference_detector(init_detector(cfg.copy(), checkpoint, device='cpu'), path)
        assert len(expected.pred_instances) > 0
        for key in ('bboxes', 'scores', 'labels'):
            torch.testing.assert_close(result.pred_instances[key], expected.pred_instances[key], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('path', [SEGMENTOR, DETECTOR], ids=lambda path: path.stem)
def test_we_load_openmmlabs_checkpoints(load, path):
    cfg = load(path)
    theirs = cfg.copy()
    theirs.train_cfg = {'by_epoch': False, 'max_iters': 1, 'val_interval': 1}
    theirs.default_hooks.checkpoint = {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1}
    theirs.log_processor.by_epoch = False
    theirs.param_scheduler = None
    scores = MMEngineRunner.from_cfg(theirs)
    scores.train()
    name = 'val/mIoU' if cfg.default_scope == 'mmseg' else 'val/coco/bbox_mAP'
    ours = launch.test(cfg, f'{theirs.work_dir}/iter_1.pth', augment=False)
    assert ours[name.removeprefix('val/')] == pytest.approx(scores.message_hub.get_scalar(name).current(), abs=1e-6)


@pytest.fixture(scope='module')
def segmentor(load):
    """A config and a checkpoint of random weights that take every class to be equally likely."""
    cfg = load(SEGMENTOR)
    runner = Runner.from_cfg(cfg)
    runner.model.eval()
    classifier = runner.model.decode_head.conv_seg
    torch.manual_seed(0)
    torch.nn.init.normal_(classifier.weight)
    with torch.no_grad():
        sample = runner.model.test_step(next(iter(runner.test_dataloader)))[0]
        classifier.bias -= sample.seg_logits.data.mean(dim=(1, 2))
    runner.save_checkpoint(cfg.work_dir, 'random.pth', save_optimizer=False, save_param_scheduler=False)
    return cfg, f'{cfg.work_dir}/random.pth'


def label_maps(segmentor, folder, augment=False, **test_cfg):
    """Scores and predicted label maps of the whole test set."""
    cfg, checkpoint = segmentor
    cfg = cfg.copy()
    cfg.model.test_cfg.update(test_cfg)
    cfg.test_evaluator.output_dir = str(folder)
    scores = launch.test(cfg, checkpoint, augment)
    paths = sorted(folder.glob('*.png'))
    assert len(paths) == 2
    return scores, np.stack([np.asarray(Image.open(path)) for path in paths])


def test_a_window_as_large_as_the_image_is_the_whole_image(segmentor, tmp_path):
    whole_scores, whole = label_maps(segmentor, tmp_path / 'whole')
    slide_scores, slide = label_maps(segmentor, tmp_path / 'slide', mode='slide', crop_size=(64, 128), stride=(64, 128))
    assert len(np.unique(whole)) > 2
    assert slide_scores == whole_scores
    np.testing.assert_array_equal(slide, whole)
    _, windows = label_maps(segmentor, tmp_path / 'windows', mode='slide', crop_size=(48, 64), stride=(32, 48))
    assert 0.3 < (windows == whole).mean() < 1


def test_scales_and_flips_are_averaged(segmentor, tmp_path):
    _, whole = label_maps(segmentor, tmp_path / 'whole')
    scores, averaged = label_maps(segmentor, tmp_path / 'averaged', augment=True)
    assert 0 <= scores['mIoU'] <= 100
    assert 0.3 < (averaged == whole).mean() < 1
    cfg = segmentor[0]
    kept = cfg.tta_pipeline
    cfg.tta_pipeline = cfg.tta_pipeline.copy()
    original, flips = cfg.tta_pipeline[1].transforms[0][2], cfg.tta_pipeline[1].transforms[1][:1]
    cfg.tta_pipeline[1].transforms[0], cfg.tta_pipeline[1].transforms[1] = [original], flips
    _, alone = label_maps(segmentor, tmp_path / 'alone', augment=True)
    cfg.tta_pipeline = kept
    np.testing.assert_array_equal(alone, whole)


def test_boxes_are_merged_over_scales_and_flips(load):
    cfg = load(RETINA_NET)
    runner = Runner.from_cfg(cfg)
    runner.save_checkpoint(cfg.work_dir, 'random.pth', save_optimizer=False, save_param_scheduler=False)
    assert 'coco/bbox_mAP' in launch.test(cfg, f'{cfg.work_dir}/random.pth', augment=True)


def test_a_config_without_augmentation_says_so(load, tmp_path):
    cfg = load(ROOT / 'configs' / 'shvit_maskrcnn_buildings.py')
    (tmp_path / 'any.pth').touch()
    with pytest.raises(ValueError, match=r'shvit_maskrcnn_buildings\.py has no tta_model'):
        launch.test(cfg, tmp_path / 'any.pth', augment=True)
    with pytest.raises(ValueError, match=r'no masks, which .*shvit_s1_maskrcnn_coco\.py predicts'):
        launch.test(load(DETECTOR), tmp_path / 'any.pth', augment=True)
    cfg = load(ROOT / 'configs' / 'buildings' / 'shvit_unet_masks.py')
    cfg.tta_model = {'type': 'SegTTAModel'}  # of one logit it makes everything foreground
    with pytest.raises(ValueError, match=r'the sigmoid once more.*BuildingTTAModel'):
        launch.test(cfg, tmp_path / 'any.pth', augment=True)
