"""EfficientNet-Lite0 with Mask R-CNN, offsets and heights on rendered roofs, 10 to 40 degrees off nadir.

Beside `shvit_roofoffsets_scenes.py`, with its data and schedule: ImageNet weights that need no download.
Ours: no result was published.
"""

_base_ = './shvit_roofoffsets_scenes.py'

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        arch='tf_efficientnet_lite0',
        out_indices=(1, 2, 3, 4),
        norm_eval=True,
        pretrained=True,
    ),
    neck=dict(
        _delete_=True,
        type='FPN',
        in_channels='backbone',
        out_channels=256,
        num_outs=5,
        norm_cfg=dict(type='BN'),  # maps of the backbone are large: masks would begin with a loss of 18
    ),
)
