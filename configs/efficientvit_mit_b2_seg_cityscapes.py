"""EfficientViT-B2 (MIT) with its own head on Cityscapes, whole images of 2048x1024: 82.073 mIoU (EfficientViT, arXiv
2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = [
    '_base_/models/efficientvit_seg_cityscapes.py',
    '_base_/datasets/cityscapes.py',
    '_base_/schedules/adamw_160k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(arch='b2'),
    decode_head=dict(in_channels=[96, 192, 384], head_width=96, head_depth=3, final_expand=4),
)
published = dict(miou=82.073, params_m='15', macs_g='74')
