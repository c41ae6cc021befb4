"""EfficientViT-L2 (MIT) with its own head on Cityscapes, whole images of 2048x1024: 83.228 mIoU (EfficientViT, arXiv
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
    backbone=dict(arch='l2', norm_eps=1e-7),
    decode_head=dict(
        in_channels=[128, 256, 512],
        head_width=256,
        head_depth=5,
        expand_ratio=1,
        block='fmbconv',
        act='gelu',
        norm_eps=1e-7,
    ),
)
published = dict(miou=83.228, params_m='53', macs_g='396')
