"""EfficientViT-B3 (MIT) with its own head on Cityscapes, whole images of 2048x1024: 83.016 mIoU (EfficientViT, arXiv
2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = 'efficientvit_mit_b1_seg_cityscapes.py'

model = dict(backbone=dict(arch='b3'), decode_head=dict(head_width=128))
published = dict(miou=83.016, params_m='40', macs_g='179')
