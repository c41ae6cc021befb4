"""EfficientViT-L1 (MIT) with its own head on ADE20K: 49.191 mIoU (EfficientViT, arXiv 2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = [
    '_base_/models/efficientvit_seg.py',
    '_base_/datasets/ade20k_batch16.py',
    '_base_/schedules/adamw_160k_fast_head.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(arch='l1', norm_eps=1e-7),
    decode_head=dict(
        head_width=128,
        head_depth=3,
        block='fmbconv',
        final_expand=8,
        act='gelu',
        norm_eps=1e-7,
    ),
)
published = dict(miou=49.191, params_m='40', macs_g='36')
