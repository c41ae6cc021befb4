"""ADE20K (SceneParsing benchmark): 150 classes, crops of 512x512, batches of 4 images on each of 8 GPUs."""

_base_ = '../loaders.py'

data_root = 'data/ade/ADEChallengeData2016'
source = 'http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip'

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSegmentation'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='CropSegmentation', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='DistortColors'),
    dict(type='PackSegmentation'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='LoadSegmentation'),  # at its own size
    dict(type='PackSegmentation'),
]
tta_model = dict(type='SegTTAModel')
tta_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(1024, 256), keep_ratio=True),
                dict(type='Resize', scale=(1536, 384), keep_ratio=True),
                dict(type='Resize', scale=(2048, 512), keep_ratio=True),
                dict(type='Resize', scale=(2560, 640), keep_ratio=True),
                dict(type='Resize', scale=(3072, 768), keep_ratio=True),
                dict(type='Resize', scale=(3584, 896), keep_ratio=True),
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadSegmentation')],
            [dict(type='PackSegmentation')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        type='CheckedADE20KDataset',
        source=source,
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='CheckedADE20KDataset',
        source=source,
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'], collect_device='gpu')
test_evaluator = val_evaluator
