"""The study on real tiles for a GPU: ten times the steps, more scenes, eight replicates, whole resolution.

tools/transfer_study.py configs/buildings/study_realgpu.py --num-processes 4
"""

_base_ = './study_real.py'

data = dict(source=dict(num_tiles=800), city=dict(otherwise=dict(size_m=2000)))
replicates = 8
methods = {
    name: dict(steps=steps)
    for name, steps in dict(
        random=3000, imagenet=3000, scenes=1500, scenes_real=1500, teacher=1500, sda=1500, mixed=3000, kd=1500, dml=1500
    ).items()
}
options = {
    'train_dataloader.num_workers': 4,
    'train_dataloader.persistent_workers': True,
    'train_dataloader.batch_size': 16,
    'train_dataloader.dataset.pipeline.2.scale': (512, 512),
    'train_dataloader.dataset.pipeline.3.crop_size': (384, 384),
    'val_dataloader.dataset.pipeline.1.scale_factor': 1.0,
    'test_dataloader.dataset.pipeline.1.scale_factor': 1.0,
}
