"""Mobile-Former-294M with RetinaNet on COCO, 1x.

The paper (arXiv 2108.05895) trains RetinaNet on its backbones as well, but no table of it by variant, no code and no
weights are public; recipe as in `efficientmod_s_retinanet_coco.py`. No result was published for it.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(backbone=dict(type='MobileFormer', arch='294m', out_indices=(1, 2, 3, 4)))
