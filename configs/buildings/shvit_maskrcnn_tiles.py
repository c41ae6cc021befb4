"""SHViT-S4 with Mask R-CNN on building tiles of one's own, as `tools/prepare_data.py geotiff` writes them.

The network and schedule of `shvit_maskrcnn_scenes.py`, scored per building height where heights are known. Ours:
no result was published.
"""

_base_ = './shvit_maskrcnn_scenes.py'

data_root = 'data/mine/'
own = dict(data_root=data_root, source='your own imagery: tools/prepare_data.py geotiff --help')

train_dataloader = dict(
    dataset=dict(ann_file='train/instances.json', data_prefix=dict(img='train/images/'), **own),
)
val_dataloader = dict(dataset=own)
test_dataloader = dict(dataset=own)
val_evaluator = [
    dict(type='CocoScores', ann_file=data_root + 'val/instances.json', metric=['bbox', 'segm']),
    dict(type='HeightClassScores'),
]
test_evaluator = [
    dict(type='CocoScores', ann_file=data_root + 'test/instances.json', metric=['bbox', 'segm']),
    dict(type='HeightClassScores'),
]
