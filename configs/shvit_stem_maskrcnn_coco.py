"""SHViT-S4 with Mask R-CNN on COCO, its stem's strides 4 and 8 in a plain FPN instead of the authors' transposed
convolutions; else the recipe of `shvit_maskrcnn_coco.py`. Ours: no result was published.
"""

_base_ = 'shvit_maskrcnn_coco.py'

model = dict(
    backbone=dict(out_indices=(1, 2, 3, 4, 5)),
    neck=dict(_delete_=True, type='FPN', in_channels='backbone', out_channels=256, num_outs=5),
)
