"""RTMDet's neck and head (Lyu et al., arXiv 2212.07784) on strides 8 to 32; the leaf gives the backbone.

Depthwise convolutions keep it light, in the head, too, where mmdet cannot share them between levels. Losses, label
assignment and thresholds are RTMDet's; mmdet's head averages the losses over the distributed batch itself.
"""

model = dict(
    type='RTMDet',
    data_preprocessor=dict(
        type='QuickDetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # ImageNet
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    neck=dict(type='CSPNeXtPAFPN', in_channels='backbone', out_channels=128, num_csp_blocks=3, use_depthwise=True),
    bbox_head=dict(
        type='RTMDetSepBNHead',
        num_classes=80,
        in_channels=128,
        feat_channels=128,
        stacked_convs=2,
        use_depthwise=True,
        share_conv=False,
        with_objectness=False,
        exp_on_reg=True,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(type='DynamicSoftLabelAssigner', topk=13), allowed_border=-1, pos_weight=-1, debug=False
    ),
    test_cfg=dict(
        nms_pre=30000, min_bbox_size=0, score_thr=0.001, nms=dict(type='nms', iou_threshold=0.65), max_per_img=300
    ),
)
