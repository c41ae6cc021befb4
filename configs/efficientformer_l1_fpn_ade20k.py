"""EfficientFormer-L1 with Semantic FPN on ADE20K: 38.9 mIoU (arXiv 2206.01191).

The authors' recipe, AdamW 2e-4 for 40k iterations, in the form of EfficientMod's: warm-up and cosine instead of a
polynomial fall of the learning rate.
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='efficientformer_l1', pretrained=True),
)
published = dict(miou=38.9)
