"""COCO 2017 instance segmentation: as `coco_instance.py`, batches of 4 images on each of 8 GPUs."""

_base_ = './coco_instance.py'

train_dataloader = dict(batch_size=4)
