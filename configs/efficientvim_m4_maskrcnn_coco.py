"""EfficientViM-M4 with Mask R-CNN on COCO, 1x: 39.7 box AP, 36.4 mask AP (EfficientViM, arXiv 2411.15241).

The authors compare it with SHViT in SHViT's recipe; weights of 450 epochs of ImageNet.
"""

_base_ = 'shvit_maskrcnn_coco.py'

model = dict(backbone=dict(type='TimmBackbone', arch='efficientvim_m4.e450_in1k'))
published = dict(box_ap=39.7, mask_ap=36.4)
