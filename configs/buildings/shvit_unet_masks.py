"""SHViT-S4 with U-Net's decoder on images with building masks, as WHU, Massachusetts, Inria and LoveDA have them.

Ours: no result was published. `_base_/datasets/building_masks.py` says what to state for each of these sets.
"""

_base_ = [
    '../_base_/models/building_unet.py',
    '../_base_/datasets/building_masks.py',
    '../_base_/schedules/building_source.py',
    '../_base_/building_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(0, 1, 2, 3, 4, 5), pretrained=True),
)
