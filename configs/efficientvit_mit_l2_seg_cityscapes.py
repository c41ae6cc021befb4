"""EfficientViT-L2 (MIT) with its own head on Cityscapes, whole images of 2048x1024: 83.228 mIoU (EfficientViT, arXiv
2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = 'efficientvit_mit_l1_seg_cityscapes.py'

model = dict(backbone=dict(arch='l2'), decode_head=dict(head_depth=5))
published = dict(miou=83.228, params_m='53', macs_g='396')
