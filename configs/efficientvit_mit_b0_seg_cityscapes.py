"""EfficientViT-B0 (MIT) with its own head on Cityscapes, whole images of 2048x1024: 75.653 mIoU (EfficientViT, arXiv
2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = 'efficientvit_mit_b1_seg_cityscapes.py'

model = dict(backbone=dict(arch='b0'), decode_head=dict(head_width=32, head_depth=1))
published = dict(miou=75.653, params_m='0.7', macs_g='4.4')
