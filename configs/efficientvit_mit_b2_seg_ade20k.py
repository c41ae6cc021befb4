"""EfficientViT-B2 (MIT) with its own head on ADE20K: 45.941 mIoU (EfficientViT, arXiv 2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = 'efficientvit_mit_b1_seg_ade20k.py'

model = dict(backbone=dict(arch='b2'), decode_head=dict(head_width=96))
published = dict(miou=45.941, params_m='15', macs_g='9.1')
