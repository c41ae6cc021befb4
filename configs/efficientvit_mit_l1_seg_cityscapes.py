"""EfficientViT-L1 (MIT) with its own head on Cityscapes, whole images of 2048x1024: 82.716 mIoU (EfficientViT, arXiv
2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = [
    '_base_/models/efficientvit_seg_cityscapes.py',
    '_base_/datasets/cityscapes.py',
    '_base_/schedules/adamw_160k_fast_head.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(arch='l1', norm_eps=1e-7),
    decode_head=dict(
        head_width=256,
        head_depth=3,
        expand_ratio=1,
        block='fmbconv',
        act='gelu',
        norm_eps=1e-7,
    ),
)
published = dict(miou=82.716, params_m='40', macs_g='282')
