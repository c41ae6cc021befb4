"""U-Net on EfficientNet-Lite0 on tens of drone tiles, as `prepare_data.py geotiles --partition K N` splits them.

A recipe for few labels: ImageNet weights, half resolution, turns, flips and scales, cross entropy with dice, and the
mean of the weights over time, which is what is scored. Ours: no result was published.
"""

_base_ = [
    '../_base_/models/efficientnet_lite0_unet.py',
    '../_base_/datasets/building_drone_tiles.py',
    '../_base_/schedules/building_few_tiles.py',
    '../_base_/building_runtime.py',
]

data_root = 'data/mine/'
own = dict(data_root=data_root, source='your own imagery: tools/prepare_data.py geotiles --help')

model = dict(decode_head=dict(loss_decode=dict(name='bce+dice')))
train_dataloader = dict(dataset=own)
val_dataloader = dict(dataset=own)
test_dataloader = dict(dataset=own)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
custom_hooks = [
    dict(type='Curves'),
    dict(type='EMAHook', momentum=0.02, begin_iter=50, update_buffers=True),
]
