"""Rendered scenes whose roofs, seen 10 to 40 degrees off nadir in every split, are labeled with offsets and heights.

Each tier of a building has a roof of its own, as one offset takes the roof of a prism to its footprint, but not that of
a tower on a podium; and tiles are large, as what a small one cuts off of a tower cannot be seen. Images keep their
scale in training: heights are in metres, and pixels have a size.
"""

_base_ = './building_scenes_instance.py'

data_root = 'data/roof_scenes/'
source = (
    'tools/prepare_data.py scenes --out data/roof_scenes --source-label tier --target-label tier '
    '--registration-error-m 0 --target-off-nadir-deg 10 40 --tile-px 512 --source 800 --target 1 --val 50 --test 100 '
    '--city-m 6000'
)
image_size = (512, 512)

train_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='LoadRoofs', with_bbox=True, with_mask=True),
    dict(type='ResizeRoofs', scale=image_size, keep_ratio=True),
    dict(type='RandomFlipRoofs', prob=0.5),
    dict(type='RandomTurnRoofs'),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackRoofs'),
]
test_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadRoofs', with_bbox=True, with_mask=True),
    dict(type='DrawBuildings'),
    dict(
        type='PackRoofs',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
            'building_ids',
            'building_heights_m',
            'gsd_m',
        ),
    ),
]
train_dataloader = dict(
    dataset=dict(
        with_offsets=True,
        source=source,
        data_root=data_root,
        ann_file='source/instances.json',
        data_prefix=dict(img='source/images/'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(dataset=dict(with_offsets=True, source=source, data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(with_offsets=True, source=source, data_root=data_root, pipeline=test_pipeline))
val_evaluator = [  # boxes are those of buildings, which the files' are not
    dict(type='CocoScores', ann_file=data_root + 'val/instances.json', metric=['segm']),
    dict(type='RoofOffsetMetric'),
    dict(type='HeightClassScores'),
]
test_evaluator = [
    dict(type='CocoScores', ann_file=data_root + 'test/instances.json', metric=['segm']),
    dict(type='RoofOffsetMetric'),
    dict(type='HeightClassScores'),
]
