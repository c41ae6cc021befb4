"""EfficientViT-B1 (MIT) with its own head on ADE20K: 42.840 mIoU (EfficientViT, arXiv 2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = [
    '_base_/models/efficientvit_seg.py',
    '_base_/datasets/ade20k_batch16.py',
    '_base_/schedules/adamw_160k_fast_head.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(arch='b1'),
    decode_head=dict(head_width=64, head_depth=3),
)
published = dict(miou=42.84, params_m='4.8', macs_g='3.1')
