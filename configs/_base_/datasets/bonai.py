"""BONAI (arXiv 2204.13637) as masks drawn from its polygons: 268,958 buildings in 3,300 tiles of 1024x1024, 0.6 m/px.

Trained on Shanghai, Beijing, Chengdu and Harbin, validated on Jinan, tested on Shanghai and Xi'an. Other labels, for
train, val and test alike: `label='footprint'`, or 'building' for all that is seen of one.
"""

_base_ = './building_masks.py'

data_root = 'data/BONAI/'
source = 'https://github.com/jwwangchn/BONAI'
label = 'roof'
cities = ('shanghai', 'beijing', 'chengdu', 'haerbin')  # to train on

train_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='DrawBuildingMask'),
    dict(type='CropSegmentation', crop_size=(512, 512)),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='DistortColors'),
    dict(type='PackSegmentation'),
]
test_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='DrawBuildingMask'),
    dict(type='DrawBuildings'),
    dict(
        type='PackSegmentation',
        meta_keys=('img_path', 'ori_shape', 'img_shape', 'building_ids', 'building_heights_m'),
    ),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MixedDataset',
        of='BonaiDataset',
        label=label,
        source=source,
        data_root=data_root,
        ann_file='coco/bonai_shanghai_trainval.json',
        data_prefix=dict(img_path='trainval/images'),
        pipeline=train_pipeline,
        parts=[dict(ann_file=f'coco/bonai_{city}_trainval.json') for city in cities],
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='BonaiDataset',
        label=label,
        source=source,
        data_root=data_root,
        ann_file='coco/bonai_jinan_trainval.json',
        data_prefix=dict(img_path='trainval/images'),
        test_mode=True,
        pipeline=test_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='BonaiDataset',
        label=label,
        source=source,
        data_root=data_root,
        ann_file='coco/bonai_shanghai_xian_test.json',
        data_prefix=dict(img_path='test/images'),
        test_mode=True,
        pipeline=test_pipeline,
    )
)
