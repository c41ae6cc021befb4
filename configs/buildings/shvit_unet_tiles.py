"""SHViT-S4 with U-Net's decoder on building tiles of one's own, as `tools/prepare_data.py geotiff` writes them.

The network and schedule of `shvit_unet_scenes_student.py`. Ours: no result was published.
"""

_base_ = [
    '../_base_/models/building_unet.py',
    '../_base_/datasets/building_scenes.py',
    '../_base_/schedules/building_target.py',
    '../_base_/building_runtime.py',
]

data_root = 'data/mine/'
own = dict(data_root=data_root, source='your own imagery: tools/prepare_data.py geotiff --help')

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(0, 1, 2, 3, 4, 5), pretrained=True),
)
train_dataloader = dict(dataset=own)
val_dataloader = dict(dataset=own)
test_dataloader = dict(dataset=own)
