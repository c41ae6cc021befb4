"""EfficientViT-B1 (MIT) with its own head on Cityscapes, whole images of 2048x1024: 80.547 mIoU (EfficientViT, arXiv
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
    backbone=dict(arch='b1'),
    decode_head=dict(head_width=64, head_depth=3, final_expand=4),
)
published = dict(miou=80.547, params_m='4.8', macs_g='25')
