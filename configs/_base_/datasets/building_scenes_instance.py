"""Building tiles as COCO instances with heights, as the scenes and `tools/prepare_data.py geotiff` write them.

Trained on `train`, the split that geotiff writes; a leaf for the scenes names `source` or `target`.
"""

_base_ = './buildings_instance.py'

data_root = 'data/scenes/'
source = 'tools/prepare_data.py scenes'
image_size = (512, 512)

train_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.75, 1.25), keep_ratio=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='DrawBuildings'),
    dict(
        type='PackDetInputs',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
            'building_ids',
            'building_heights_m',
        ),
    ),
]
train_dataloader = dict(
    dataset=dict(
        type='BuildingInstanceDataset',
        source=source,
        data_root=data_root,
        ann_file='train/instances.json',
        data_prefix=dict(img='train/images/'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type='BuildingInstanceDataset',
        source=source,
        data_root=data_root,
        ann_file='val/instances.json',
        data_prefix=dict(img='val/images/'),
        pipeline=test_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        type='BuildingInstanceDataset',
        source=source,
        data_root=data_root,
        ann_file='test/instances.json',
        data_prefix=dict(img='test/images/'),
        pipeline=test_pipeline,
    )
)
val_evaluator = [
    dict(type='CocoScores', ann_file=data_root + 'val/instances.json', metric=['bbox', 'segm']),
    dict(type='HeightClassScores'),
]
test_evaluator = [
    dict(type='CocoScores', ann_file=data_root + 'test/instances.json', metric=['bbox', 'segm']),
    dict(type='HeightClassScores'),
]
