"""COCO 2017 detection: as `coco_detection.py`, batches of 4 images on each of 8 GPUs."""

_base_ = './coco_detection.py'

train_dataloader = dict(batch_size=4)
