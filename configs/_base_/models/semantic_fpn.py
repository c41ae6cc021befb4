"""Semantic FPN on a pyramid of strides 4 to 32 (Kirillov et al., arXiv 1901.02446); the leaf gives backbone and neck.

Widths and dropout are mmseg's defaults, which EfficientMod and its peers use on ADE20K.
"""

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='QuickSegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],  # ImageNet
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=255,
        size=(512, 512),
    ),
    neck=dict(type='FPN', in_channels='backbone', out_channels=256, num_outs=4),
    decode_head=dict(
        type='FPNHead',
        in_channels='neck',
        in_index=[0, 1, 2, 3],
        feature_strides='neck',
        channels=128,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    test_cfg=dict(mode='whole', crop_size=(512, 512), stride=(341, 341)),  # the latter two of mode='slide'
)
