"""EfficientViT-B3 (MIT) with its own head on ADE20K: 49.013 mIoU (EfficientViT, arXiv 2205.14756, its repository).

The authors published neither training code nor recipe; the schedule is ours, after SegFormer.
"""

_base_ = 'efficientvit_mit_b1_seg_ade20k.py'

model = dict(backbone=dict(arch='b3'), decode_head=dict(head_width=128))
published = dict(miou=49.013, params_m='39', macs_g='22')
