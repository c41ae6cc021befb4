"""SHViT-S4 with UPerNet on ADE20K. Ours: no result was published. Schedule of Swin."""

_base_ = [
    '_base_/models/upernet.py',
    '_base_/datasets/ade20k_batch16.py',
    '_base_/schedules/adamw_160k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(1, 2, 3, 4, 5), pretrained=True),
    decode_head=dict(in_index=[0, 1, 2, 3, 4]),
)
