"""EfficientViT-M4 (MSRA) with Mask R-CNN on COCO, 1x: 32.8 box AP, 31.0 mask AP (EfficientViT, arXiv 2305.07027, its
`downstream/` folder, whose recipe this is: the neck of SHViT, batch norms in eval mode, no decay of attention biases).
"""

_base_ = [
    '_base_/models/maskrcnn.py',
    '_base_/datasets/coco_instance.py',
    '_base_/schedules/adamw_1x.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientViTMSRA', arch='m4', norm_eval=True, pretrained=True),
    neck=dict(type='UpsamplingFPN', in_channels=[128, 256, 384], out_channels=256, num_outs=5, num_upsamples=2),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(attention_bias=dict(decay_mult=0.0))))
published = dict(box_ap=32.8, mask_ap=31.0)
