"""What every segmentation run shares: iterations instead of epochs, pictures of label maps."""

_base_ = './default_runtime.py'

default_scope = 'mmseg'
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000),
    visualization=dict(drawing=dict(_delete_=True, with_labels=False)),
)
visualizer = dict(_delete_=True, type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], alpha=0.6)
log_processor = dict(by_epoch=False)
sync_bn = 'torch'  # several GPUs normalise by the statistics of their common batch
