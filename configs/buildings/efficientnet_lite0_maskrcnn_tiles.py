"""EfficientNet-Lite0 with Mask R-CNN on building tiles of one's own, as `tools/prepare_data.py` writes them.

Beside `shvit_maskrcnn_tiles.py`, with the data and schedule of that: ImageNet weights that need no download, whose
batch norms keep their statistics. Ours: no result was published.
"""

_base_ = './shvit_maskrcnn_tiles.py'

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
    neck=dict(_delete_=True, type='FPN', in_channels='backbone', out_channels=256, num_outs=5),
)
