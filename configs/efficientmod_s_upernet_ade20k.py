"""EfficientMod-s with UPerNet on ADE20K. Ours: no result was published. Schedule of Swin."""

_base_ = [
    '_base_/models/upernet.py',
    '_base_/datasets/ade20k_batch16.py',
    '_base_/schedules/adamw_160k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientMod', arch='s', drop_path_rate=0.02, pretrained=True),
)
