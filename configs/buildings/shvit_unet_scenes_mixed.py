"""The network of `shvit_unet_scenes_teacher.py` on source and target mixed: the other baseline. Ours, no result was
published.

With 3,200 source and 800 target tiles, every target tile four times an epoch makes half of all samples; other numbers:
`--cfg-options train_dataloader.dataset.times="[1,1]"`. It has the iterations of teacher and domain adaptation together.
"""

_base_ = './shvit_unet_scenes_teacher.py'

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
