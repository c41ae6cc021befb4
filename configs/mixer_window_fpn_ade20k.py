"""A mixer pyramid with attention in shifted windows under Semantic FPN on ADE20K. No result was published.

For the class "complexity reduction" of the review arXiv 2403.19882. All else as in
`mixer_softmax_fpn_ade20k.py`.
"""

_base_ = 'mixer_softmax_fpn_ade20k.py'

model = dict(backbone=dict(mixers=(('window', ('window', dict(shift=3))),) * 4))
