"""A mixer pyramid with softmax attention in its coarse stages, under Semantic FPN on ADE20K. No result was published.

The reference of `mixer_*_fpn_ade20k.py`, as `mixer_softmax_maskrcnn_coco.py` is of those for COCO. The size is the
widest that the test resizes to. Recipe of EfficientMod (arXiv 2403.19963).
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(
        type='MixerPyramid',
        arch='tiny',
        mixers=('convolution', 'convolution', 'softmax', 'softmax'),
        image_size=(512, 2048),
    ),
)
