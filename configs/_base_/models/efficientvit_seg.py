"""EfficientViT (MIT) with its own head on strides 8, 16 and 32 (arXiv 2205.14756); the leaf gives the sizes."""

_base_ = './semantic_fpn.py'

model = dict(
    backbone=dict(type='EfficientViTMIT', out_indices=(2, 3, 4), pretrained=True),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='EfficientViTHead',
        in_channels='backbone',
        in_index=[0, 1, 2],
        num_classes=150,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
)
