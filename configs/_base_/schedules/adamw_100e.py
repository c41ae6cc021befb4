"""RTMDet's AdamW (arXiv 2212.07784) for 100 of its 300 epochs: the learning rate falls in the second half.

100 epochs of 117,266 images with objects, batch 256 (8 GPUs x 32): 459 iterations each, 45,900 in all. Without RTMDet's
moving average of the weights.
"""

train_cfg = dict(type='ResumableTrainLoop', max_epochs=100, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-5, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.05, begin=50, end=100, T_max=50, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=True, base_batch_size=256)
