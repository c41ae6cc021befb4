"""Mask R-CNN with a plain FPN on strides 4 to 64, for backbones with levels from 4 to 32."""

_base_ = './maskrcnn.py'

model = dict(neck=dict(type='FPN', out_channels=256, num_outs=5))
