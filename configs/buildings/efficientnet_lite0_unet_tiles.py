"""U-Net on EfficientNet-Lite0 on building tiles of one's own, as `tools/prepare_data.py geotiff` writes them.

Beside `shvit_unet_tiles.py`: the network of the paper's best student, with weights that need no download.
Ours: no result was published.
"""

_base_ = [
    '../_base_/models/efficientnet_lite0_unet.py',
    '../_base_/datasets/building_scenes.py',
    '../_base_/schedules/building_target.py',
    '../_base_/building_runtime.py',
]

data_root = 'data/mine/'
own = dict(data_root=data_root, source='your own imagery: tools/prepare_data.py geotiff --help')

train_dataloader = dict(dataset=own)
val_dataloader = dict(dataset=own)
test_dataloader = dict(dataset=own)
