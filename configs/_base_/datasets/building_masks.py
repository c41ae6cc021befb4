"""Images and building masks in folders, as WHU's aerial set has them: tiles of 512x512, 0.3 m/px, 255 = building.

Other sets differ in `data_root`, the folders and what the values of their masks mean, each for train, val and test:

- Massachusetts (1500x1500, 1 m/px): `building=(255, 0, 0), background=[(0, 0, 0)]`
- Inria (5000x5000, 0.3 m/px): folders `images` and `gt`; lists of images by `ann_file`
- LoveDA (1024x1024, 0.3 m/px): `building=2, background=[1, 3, 4, 5, 6, 7], ignored=[0]`, folders `Train` twice and
  `image_name='{}/images_png/{}', mask_name='{}/masks_png/{}'`

Images are cut, not resized: what a metre is in pixels is a property of the set. Larger images than crops are evaluated
whole.
"""

_base_ = '../loaders.py'

data_root = 'data/whu/'
source = 'http://gpcv.whu.edu.cn/data/building_dataset.html (aerial imagery, cropped tiles and raster labels)'
mask_values = dict(building=255, background=[0], ignored=[])

train_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='LoadBuildingMask'),
    dict(type='CropSegmentation', crop_size=(512, 512)),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='DistortColors'),
    dict(type='PackSegmentation'),
]
test_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='LoadBuildingMask'),
    dict(type='LoadBuildings'),
    dict(
        type='PackSegmentation',
        meta_keys=('img_path', 'ori_shape', 'img_shape', 'building_ids', 'building_heights_m'),
    ),
]
# flips are mirrored back and averaged, with tools/test.py --tta; what is loaded after a flip is not flipped
tta_model = dict(type='BuildingTTAModel')
tta_pipeline = [
    dict(type='LoadAerialImage'),
    dict(
        type='TestTimeAug',
        transforms=[
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
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type='BuildingMaskDataset',
        source=source,
        data_root=data_root,
        data_prefix=dict(img_path='train/image', seg_map_path='train/label'),
        pipeline=train_pipeline,
        **mask_values,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='BuildingMaskDataset',
        source=source,
        data_root=data_root,
        data_prefix=dict(img_path='val/image', seg_map_path='val/label'),
        pipeline=test_pipeline,
        **mask_values,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='HeightClassScores')
test_evaluator = val_evaluator
