"""Large noisy source and small clean target of the scenes in one: 3,200 and 800 tiles.

Every target tile four times an epoch makes half of all samples; other numbers:
`--cfg-options train_dataloader.dataset.times="[1,1]"`.
"""

_base_ = './building_scenes.py'

train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type='MixedDataset',
        of='BuildingTileDataset',
        data_prefix=dict(img_path='source/images', seg_map_path='source/masks'),
        parts=[dict(), dict(data_prefix=dict(img_path='target/images', seg_map_path='target/masks'))],
        times=[1, 4],
    ),
)
