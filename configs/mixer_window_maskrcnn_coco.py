"""A mixer pyramid with attention in shifted windows under Mask R-CNN on COCO, 1x. No result was published.

For the class "complexity reduction" of the review arXiv 2403.19882. All else as in
`mixer_softmax_maskrcnn_coco.py`.
"""

_base_ = 'mixer_softmax_maskrcnn_coco.py'

model = dict(backbone=dict(mixers=(('window', ('window', dict(shift=3))),) * 4))
