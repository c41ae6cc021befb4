"""Cityscapes: 19 classes, whole images of 2048x1024, crops of 1024x512, batches of 2 images on each of 8 GPUs."""

_base_ = './ade20k.py'

data_root = 'data/cityscapes/'
source = 'https://www.cityscapes-dataset.com/downloads (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip)'

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSegmentation'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='CropSegmentation', crop_size=(512, 1024), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='DistortColors'),
    dict(type='PackSegmentation'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
    dict(type='LoadSegmentation'),  # at its own size
    dict(type='PackSegmentation'),
]
tta_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(1024, 512), keep_ratio=True),
                dict(type='Resize', scale=(1536, 768), keep_ratio=True),
                dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
                dict(type='Resize', scale=(2560, 1280), keep_ratio=True),
                dict(type='Resize', scale=(3072, 1536), keep_ratio=True),
                dict(type='Resize', scale=(3584, 1792), keep_ratio=True),
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadSegmentation')],
            [dict(type='PackSegmentation')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        type='CheckedCityscapesDataset',
        source=source,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='CheckedCityscapesDataset',
        source=source,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
