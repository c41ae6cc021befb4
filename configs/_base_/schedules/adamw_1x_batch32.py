"""The 1x schedule with AdamW that EfficientMod, RepViT and EfficientFormerV2 use on COCO: 2e-4 at batch 32.

12 epochs of 117,266 images with objects, batch 32 (8 GPUs x 4): 3,665 iterations each, 43,980 in all.
"""

_base_ = './adamw_1x.py'

optim_wrapper = dict(optimizer=dict(lr=2e-4))
auto_scale_lr = dict(base_batch_size=32)
