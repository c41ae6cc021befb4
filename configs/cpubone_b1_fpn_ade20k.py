"""CPUBone-B1 with Semantic FPN on ADE20K: 39.2 mIoU (CPUBone, arXiv 2603.26425, its repository).

Recipe as in `cpubone_b0_fpn_ade20k.py`.
"""

_base_ = 'cpubone_b0_fpn_ade20k.py'

model = dict(backbone=dict(arch='cpubone_b1_bfrobust'))
published = dict(miou=39.2)
