"""BONAI (arXiv 2204.13637) as instances: 268,958 buildings in 3,300 tiles of 1024x1024 at 0.6 m/px, with heights.

Trained on Shanghai, Beijing, Chengdu and Harbin, validated on Jinan, tested on Shanghai and Xi'an. Other labels, for
the data sets and scores of train, val and test alike: `label='footprint'`, or 'building' for all that is seen of one.
"""

_base_ = './building_scenes_instance.py'

data_root = 'data/BONAI/'
source = 'https://github.com/jwwangchn/BONAI'
label = 'roof'
cities = ('shanghai', 'beijing', 'chengdu', 'haerbin')  # to train on
image_size = (1024, 1024)

train_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
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
        _delete_=True,
        type='MixedDataset',
        of='BonaiInstanceDataset',
        label=label,
        source=source,
        data_root=data_root,
        ann_file='coco/bonai_shanghai_trainval.json',
        data_prefix=dict(img='trainval/images/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
        parts=[dict(ann_file=f'coco/bonai_{city}_trainval.json') for city in cities],
    )
)
val_dataloader = dict(
    dataset=dict(
        type='BonaiInstanceDataset',
        label=label,
        source=source,
        data_root=data_root,
        ann_file='coco/bonai_jinan_trainval.json',
        data_prefix=dict(img='trainval/images/'),
        pipeline=test_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        type='BonaiInstanceDataset',
        label=label,
        source=source,
        data_root=data_root,
        ann_file='coco/bonai_shanghai_xian_test.json',
        data_prefix=dict(img='test/images/'),
        pipeline=test_pipeline,
    )
)
val_evaluator = [
    dict(
        type='BonaiScores',
        label=label,
        ann_file=data_root + 'coco/bonai_jinan_trainval.json',
        metric=['bbox', 'segm'],
    ),
    dict(type='HeightClassScores'),
]
test_evaluator = [
    dict(
        type='BonaiScores',
        label=label,
        ann_file=data_root + 'coco/bonai_shanghai_xian_test.json',
        metric=['bbox', 'segm'],
    ),
    dict(type='HeightClassScores'),
]
