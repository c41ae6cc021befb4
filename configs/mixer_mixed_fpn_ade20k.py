"""A mixer pyramid with a mixer of another class in each stage under Semantic FPN on ADE20K. No result was published.

Convolution, channel attention, windows, softmax: classes of the review arXiv 2403.19882. All else as in
`mixer_softmax_fpn_ade20k.py`.
"""

_base_ = 'mixer_softmax_fpn_ade20k.py'

model = dict(backbone=dict(mixers=('convolution', 'channel', 'window', 'softmax')))
