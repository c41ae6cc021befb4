"""SHViT-S4 with RetinaNet on COCO, 1x: 38.8 AP (SHViT, arXiv 2401.16456, Table 5).

Recipe of the authors' `downstream/` folder: their neck with one transposed convolution for stride 8 and one strided
convolution for stride 128, AdamW 1e-4, batch 16, batch norms in eval mode while training.
"""

_base_ = [
    '_base_/models/retinanet.py',
    '_base_/datasets/coco_detection.py',
    '_base_/schedules/adamw_1x.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', norm_eval=True, pretrained=True),
    neck=dict(
        type='UpsamplingFPN',
        out_channels=256,
        num_outs=5,
        num_upsamples=1,
        add_extra_convs='on_input',
    ),
)
published = dict(box_ap=38.8)
