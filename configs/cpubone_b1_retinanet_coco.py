"""CPUBone-B1 with RetinaNet on COCO, 1x: 39.0 AP (CPUBone, arXiv 2603.26425, its repository).

Recipe as in `cpubone_b0_retinanet_coco.py`.
"""

_base_ = 'cpubone_b0_retinanet_coco.py'

model = dict(backbone=dict(arch='cpubone_b1_bfrobust'))
published = dict(box_ap=39.0)
