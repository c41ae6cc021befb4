"""EfficientViM-M4 with RetinaNet on COCO, 1x: 38.8 AP (EfficientViM, arXiv 2411.15241).

The authors compare it with SHViT in SHViT's recipe; weights of 450 epochs of ImageNet.
"""

_base_ = 'shvit_retinanet_coco.py'

model = dict(backbone=dict(type='TimmBackbone', arch='efficientvim_m4.e450_in1k'))
published = dict(box_ap=38.8)
