"""Mask R-CNN that also finds how far a roof lies from its footprint, and how tall the building is.

Boxes are those of whole buildings, masks those of roofs. The camera is far: offsets of an image are
heights times one lean.
"""

_base_ = './maskrcnn.py'

model = dict(
    roi_head=dict(
        type='RoofOffsetRoIHead',
        bbox_head=dict(num_classes=1),
        mask_head=dict(num_classes=1),
        offset_head=dict(type='OffsetHeightHead', in_channels=256),
    ),
    test_cfg=dict(rcnn=dict(lean_consensus=True)),
)
