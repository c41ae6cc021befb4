"""RetinaNet on COCO: which mixer pyramid, of which widths, depths and mixers, keeps a latency budget.

    tools/search.py configs/search/grow_coco.py --budget-ms 200

The space and the way are those of `grow_ade20k.py`, but for the stem, whose stride the anchors expect. In Mask R-CNN at
the size of the sample, 1,000 regions take most of the time, whatever the backbone.
"""

_base_ = 'grow_ade20k.py'

title = 'RetinaNet on COCO, of mixer pyramids'
config = 'configs/turbovit_retinanet_coco.py'
score = 'coco/bbox_mAP'
space = dict(stem_strides=(4,), image_size=(800, 1333))
hand_made = dict(
    _delete_=True,
    **{
        name: dict(config=f'configs/{name}_retinanet_coco.py')
        for name in ('turbovit', 'shvit', 'efficientvit_mit_b2', 'mobilenetv3', 'cpubone_b0')
    },
)
