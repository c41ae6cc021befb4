"""BONAI's roofs with offsets and heights; splits and cities of `bonai_instance.py`.

Trained on crops, at the scale of the images: heights are in metres, and pixels have a size.
"""

_base_ = './bonai_instance.py'

data_root = 'data/BONAI/'
image_size = (1024, 1024)

train_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='LoadRoofs', with_bbox=True, with_mask=True),
    dict(type='ResizeRoofs', scale=image_size, keep_ratio=True),
    dict(type='RandomCropRoofs', crop_size=(768, 768)),
    dict(type='RandomFlipRoofs', prob=0.5),
    dict(type='RandomTurnRoofs'),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackRoofs'),
]
test_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadRoofs', with_bbox=True, with_mask=True),
    dict(type='DrawBuildings'),
    dict(
        type='PackRoofs',
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
train_dataloader = dict(dataset=dict(with_offsets=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(with_offsets=True, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(with_offsets=True, pipeline=test_pipeline))
val_evaluator = [  # boxes are those of buildings, which the files' are not
    dict(
        type='BonaiScores',
        label='roof',
        ann_file=data_root + 'coco/bonai_jinan_trainval.json',
        metric=['segm'],
    ),
    dict(type='RoofOffsetMetric', gsd_m=0.6),
    dict(type='HeightClassScores'),
]
test_evaluator = [
    dict(
        type='BonaiScores',
        label='roof',
        ann_file=data_root + 'coco/bonai_shanghai_xian_test.json',
        metric=['segm'],
    ),
    dict(type='RoofOffsetMetric', gsd_m=0.6),
    dict(type='HeightClassScores'),
]
