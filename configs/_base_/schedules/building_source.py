"""20k iterations with Adam on a large source, with the authors' optimiser, learning rate, batch and epochs.

Batch 8 (1 GPU) of 3,200 tiles: 400 iterations an epoch, 50 epochs. The warm-up and the fall of the learning rate are
ours; the authors' scheduler practically never lowers it. The other optimisers that they compare (SGD, RMSprop,
Adadelta, Adagrad, Adamax, NAdam), with a learning rate of their own: `--cfg-options optim_wrapper.optimizer.type=SGD`.
"""

train_cfg = dict(type='ResumableIterTrainLoop', max_iters=20000, val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=500, end=20000, T_max=19500, eta_min=0),
]
auto_scale_lr = dict(enable=True, base_batch_size=8)
