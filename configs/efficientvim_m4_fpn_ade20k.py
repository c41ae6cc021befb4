"""EfficientViM-M4 with Semantic FPN on ADE20K: 41.3 mIoU (EfficientViM, arXiv 2411.15241).

Recipe of EfficientMod (arXiv 2403.19963). The code of the authors' segmentor was not published: that strides 8 and 4
come from the transposed convolutions of SHViT's detectors is ours.
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='efficientvim_m4.e450_in1k', pretrained=True),
    neck=dict(type='UpsamplingFPN', num_outs=5, num_upsamples=2),
    decode_head=dict(in_index=[0, 1, 2, 3, 4]),
)
published = dict(miou=41.3)
