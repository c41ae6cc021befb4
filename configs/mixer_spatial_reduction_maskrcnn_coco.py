"""A mixer pyramid with attention to a reduced grid of keys under Mask R-CNN on COCO, 1x. No result was published.

For the class "hierarchical transformers" of the review arXiv 2403.19882. All else as in
`mixer_softmax_maskrcnn_coco.py`. Reductions are those of
PVT; those by 8 and 4 are depthwise, as their weights would leave no room for feed-forward networks otherwise.
"""

_base_ = 'mixer_softmax_maskrcnn_coco.py'

model = dict(
    backbone=dict(
        mixers=(
            ('spatial_reduction', dict(reduction=8, depthwise=True)),
            ('spatial_reduction', dict(reduction=4, depthwise=True)),
            ('spatial_reduction', dict(reduction=2)),
            ('spatial_reduction', dict(reduction=1)),
        )
    )
)
