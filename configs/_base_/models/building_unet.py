"""U-Net's decoder (arXiv 1505.04597) of segmentation_models.pytorch with one logit, building against background; the
leaf gives the backbone.

The other networks of the paper, UnetPlusPlus, Linknet, PSPNet, FPN, DeepLabV3Plus and MAnet:
`--cfg-options model.decode_head.decoder=UnetPlusPlus`; its other losses: `model.decode_head.loss_decode.name=bce+dice`.
"""

_base_ = './semantic_fpn.py'

model = dict(
    data_preprocessor=dict(
        _delete_=True,
        type='QuickSegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],  # ImageNet
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=255,
        size_divisor=1,  # tiles have the size that they have
    ),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='SMPHead',
        decoder='Unet',
        in_channels='backbone',
        strides='backbone',
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        align_corners=False,
        loss_decode=dict(type='BuildingLoss', name='dice'),
    ),
)
