"""SHViT-S4 with MISSFormer's context bridge and SegFormer's head on ADE20K. Ours: no result was published.

Of the bridge's four layers (arXiv 2109.07162) there are two, and it starts at stride 8.
"""

_base_ = [
    '_base_/models/segformer.py',
    '_base_/datasets/ade20k_batch16.py',
    '_base_/schedules/adamw_160k_fast_head.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(2, 3, 4, 5), pretrained=True),
    neck=dict(_delete_=True, type='ContextBridge', in_channels='backbone', width=112, num_layers=2),
    decode_head=dict(in_channels='neck'),
)
