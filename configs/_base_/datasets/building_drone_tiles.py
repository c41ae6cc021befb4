"""Building tiles of 512x512 px at 0.1 to 0.2 m a pixel, few of them, at half their resolution.

A crop then shows four times the ground for the same work; predictions are enlarged to the size of the label.
"""

_base_ = './building_scenes.py'

train_pipeline = [
    dict(type='LoadAerialImage', keep_mib=64),
    dict(type='LoadBuildingMask', keep_mib=64),
    dict(type='RandomResize', scale=(256, 256), ratio_range=(0.7, 1.4), keep_ratio=True),
    dict(type='CropSegmentation', crop_size=(192, 192)),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='RandomRotate', prob=0.5, degree=(90, 90), seg_pad_val=255),
    dict(type='DistortColors'),
    dict(type='PackSegmentation'),
]
test_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='Resize', scale_factor=0.5, keep_ratio=True),
    dict(type='LoadBuildingMask'),
    dict(type='LoadBuildings'),
    dict(
        type='PackSegmentation',
        meta_keys=('img_path', 'ori_shape', 'img_shape', 'scale_factor', 'building_ids', 'building_heights_m'),
    ),
]
tta_pipeline = [
    dict(type='LoadAerialImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=0.5, keep_ratio=True)],
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            [dict(type='LoadBuildingMask')],
            [dict(type='LoadBuildings')],
            [
                dict(
                    type='PackSegmentation',
                    meta_keys=(
                        'img_path',
                        'ori_shape',
                        'img_shape',
                        'scale_factor',
                        'flip',
                        'flip_direction',
                        'building_ids',
                        'building_heights_m',
                    ),
                )
            ],
        ],
    ),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
