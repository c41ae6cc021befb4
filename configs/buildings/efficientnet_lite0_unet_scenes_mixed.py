"""EfficientNet-Lite0 on source and target mixed, as in `shvit_unet_scenes_mixed.py`; see there.

No result was published for these data.
"""

_base_ = './efficientnet_lite0_unet_scenes_teacher.py'

train_dataloader = dict(
    dataset=dict(
        type='MixedDataset',
        of='BuildingTileDataset',
        parts=[dict(), dict(data_prefix=dict(img_path='target/images', seg_map_path='target/masks'))],
        times=[1, 4],
    )
)
train_cfg = dict(max_iters=25000, val_interval=2500)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=500, end=25000, T_max=24500, eta_min=0),
]
