"""EfficientViT-B1 (MIT) with a light one-stage detector: 4.3 GMACs at 576x576, 5.4 M parameters.

EfficientViT (arXiv 2205.14756v2) reports 42.6 AP at 4.4 GMACs for a detector of which neither code, configuration nor
weights were released. This one is ours, inside the same budget, and no result was published for it: RTMDet's neck and
head (arXiv 2212.07784) with depthwise convolutions, 128 channels, strides 8 to 32. RTMDet's AdamW, a third of its
epochs, crops instead of its mixed images, all batch norms training.
"""

_base_ = [
    '_base_/models/rtmdet.py',
    '_base_/datasets/coco_crops.py',
    '_base_/schedules/adamw_100e.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientViTMIT', arch='b1', out_indices=(2, 3, 4), pretrained=True),
)
