"""SHViT-S4 with Mask R-CNN, offsets and heights on rendered roofs, 10 to 40 degrees off nadir.

No result was published for these data. Schedule of `shvit_maskrcnn_scenes.py`, on the larger source.
"""

_base_ = [
    '../_base_/models/maskrcnn_roof_offsets.py',
    '../_base_/datasets/roof_scenes.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/building_instance_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', norm_eval=True, pretrained=True),
    neck=dict(type='UpsamplingFPN', out_channels=256, num_outs=5, num_upsamples=2),
)
