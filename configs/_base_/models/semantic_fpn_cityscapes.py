"""Semantic FPN for the 19 classes and the wide crops of Cityscapes."""

_base_ = './semantic_fpn.py'

model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    decode_head=dict(num_classes=19),
    test_cfg=dict(crop_size=(512, 1024), stride=(341, 683)),
)
