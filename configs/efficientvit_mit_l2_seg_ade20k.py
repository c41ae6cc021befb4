"""EfficientViT-L2 (MIT) with its own head on ADE20K: 50.702 mIoU (EfficientViT, arXiv 2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = 'efficientvit_mit_l1_seg_ade20k.py'

model = dict(backbone=dict(arch='l2'))
published = dict(miou=50.702, params_m='51', macs_g='45')
