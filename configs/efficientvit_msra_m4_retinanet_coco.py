"""EfficientViT-M4 (MSRA) with RetinaNet on COCO, 1x: 32.7 AP (EfficientViT, arXiv 2305.07027, its `downstream/` folder,
whose recipe this is: the neck of SHViT, batch norms in eval mode, no decay of attention biases).
"""

_base_ = 'shvit_retinanet_coco.py'

model = dict(backbone=dict(type='EfficientViTMSRA', arch='m4'))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(attention_bias=dict(decay_mult=0.0))))
published = dict(box_ap=32.7)
