"""A mixer pyramid with softmax attention in its coarse stages, under Mask R-CNN on COCO, 1x. No result was published.

The reference of `mixer_*_maskrcnn_coco.py`: all have the same number of parameters in each stage, and differ in nothing
but their token mixers. At 800x1280 pixels softmax attention over the first two stages does not fit in memory, which
mix by convolution here. Recipe of EfficientMod (arXiv 2403.19963), from random weights or from your own.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='MixerPyramid', arch='tiny', mixers=('convolution', 'convolution', 'softmax', 'softmax')),
)
