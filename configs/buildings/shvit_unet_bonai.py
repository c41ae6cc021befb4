"""SHViT-S4 with U-Net's decoder on the roofs of BONAI, scored per building height. Ours: no result was published.

Footprints: `label='footprint'` of the data sets, e.g. `--cfg-options train_dataloader.dataset.label=footprint`, and the
same of val and test.
"""

_base_ = [
    '../_base_/models/building_unet.py',
    '../_base_/datasets/bonai.py',
    '../_base_/schedules/building_source.py',
    '../_base_/building_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(0, 1, 2, 3, 4, 5), pretrained=True),
)
