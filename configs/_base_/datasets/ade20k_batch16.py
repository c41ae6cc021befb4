"""ADE20K: as `ade20k.py`, batches of 2 images on each of 8 GPUs."""

_base_ = './ade20k.py'

train_dataloader = dict(batch_size=2)
