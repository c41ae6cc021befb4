from projects.training.config import load_config
from projects.training.image_scale import scale_images


def scales(cfg, split):
    return [t.scale for t in cfg[f'{split}_dataloader'].dataset.pipeline if 'scale' in t]


def test_all_sizes_follow_one_factor():
    cfg = load_config('configs/shvit_fpn_ade20k.py')
    scale_images(cfg, 0.5)
    assert scales(cfg, 'train') == scales(cfg, 'val') == scales(cfg, 'test') == [(1024, 256)]
    crop = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'CropSegmentation')
    assert crop.crop_size == (256, 256)
    assert crop.cat_max_ratio == 0.75
    assert cfg.model.data_preprocessor.size == (256, 256)
    assert (cfg.model.test_cfg.crop_size, cfg.model.test_cfg.stride) == ((256, 256), (170, 170))
    assert cfg.tta_pipeline[1].transforms[0][0].scale == (512, 128)


def test_a_transform_of_two_pipelines_is_scaled_once():
    cfg = load_config('configs/shvit_maskrcnn_coco.py')
    cfg.val_dataloader.dataset.pipeline = cfg.test_dataloader.dataset.pipeline
    scale_images(cfg, 0.75)
    assert scales(cfg, 'val') == scales(cfg, 'test') == [(1000, 600)]
    assert cfg.model.data_preprocessor.pad_size_divisor == 32
