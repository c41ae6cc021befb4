"""160k iterations with AdamW, the schedule of Swin (arXiv 2103.14030) for UPerNet on ADE20K.

Batch 16 (8 GPUs x 2): 160,000 iterations are 127 epochs of ADE20K (20,210 images; 1,263 iterations) or 861 of
Cityscapes (2,975 images; 185 iterations). The learning rate falls linearly after the warm-up; norms are not decayed.
"""

_base_ = './adamw_40k.py'

train_cfg = dict(max_iters=160000, val_interval=16000)
optim_wrapper = dict(optimizer=dict(lr=6e-5, weight_decay=0.01), paramwise_cfg=dict(norm_decay_mult=0.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', by_epoch=False, begin=1500, end=160000, power=1.0, eta_min=0.0),
]
auto_scale_lr = dict(base_batch_size=16)
