"""EfficientViT-M4 (MSRA) with RetinaNet on COCO, 1x: 32.7 AP (EfficientViT, arXiv 2305.07027, its `downstream/` folder,
whose recipe this is: the neck of SHViT, batch norms in eval mode, no decay of attention biases).
"""

_base_ = [
    '_base_/models/retinanet.py',
    '_base_/datasets/coco_detection.py',
    '_base_/schedules/adamw_1x.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientViTMSRA', arch='m4', norm_eval=True, pretrained=True),
    neck=dict(
        type='UpsamplingFPN',
        in_channels=[128, 256, 384],
        out_channels=256,
        num_outs=5,
        num_upsamples=1,
        add_extra_convs='on_input',
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(attention_bias=dict(decay_mult=0.0))))
published = dict(box_ap=32.7)
