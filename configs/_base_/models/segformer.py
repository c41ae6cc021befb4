"""SegFormer's all-MLP head on maps of strides 4 to 32 (Xie et al., arXiv 2105.15203); the leaf gives the backbone."""

_base_ = './semantic_fpn.py'

model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='SegformerHead',
        in_channels='backbone',
        in_index=[0, 1, 2, 3],
        channels=256,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
)
