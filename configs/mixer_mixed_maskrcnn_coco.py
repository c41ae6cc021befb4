"""A mixer pyramid with a mixer of another class in each stage under Mask R-CNN on COCO, 1x. No result was published.

Convolution, channel attention, windows, softmax: classes of the review arXiv 2403.19882. All else as in
`mixer_softmax_maskrcnn_coco.py`.
"""

_base_ = 'mixer_softmax_maskrcnn_coco.py'

model = dict(backbone=dict(mixers=('convolution', 'channel', 'window', 'softmax')))
