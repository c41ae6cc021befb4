"""U-Net's decoder (arXiv 1505.04597) of segmentation_models.pytorch, for the 19 classes and the wide crops of
Cityscapes; the leaf gives the backbone.
"""

_base_ = './semantic_fpn_cityscapes.py'

model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='SMPHead',
        decoder='Unet',
        in_channels='backbone',
        strides='backbone',
        num_classes=19,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
)
