"""Building tiles with masks, instances and heights, as the scenes and `tools/prepare_data.py geotiff` write them."""

_base_ = './building_masks.py'

data_root = 'data/scenes/'
source = 'tools/prepare_data.py scenes'

train_dataloader = dict(
    dataset=dict(
        type='BuildingTileDataset',
        source=source,
        data_root=data_root,
        data_prefix=dict(img_path='train/images', seg_map_path='train/masks'),
        ignored=[127],
    )
)
val_dataloader = dict(
    dataset=dict(
        type='BuildingTileDataset',
        source=source,
        data_root=data_root,
        data_prefix=dict(img_path='val/images', seg_map_path='val/masks'),
        ignored=[127],
    )
)
test_dataloader = dict(
    dataset=dict(
        type='BuildingTileDataset',
        source=source,
        data_root=data_root,
        data_prefix=dict(img_path='test/images', seg_map_path='test/masks'),
        ignored=[127],
    )
)
