"""What every run shares. `custom_imports` makes a config usable by any OpenMMLab tool or notebook, as by `tools/`."""

custom_imports = dict(
    imports=['projects.openmmlab_compat', 'projects.efficient_models', 'projects.training'],  # compat first
    allow_failed_imports=False,
)
default_scope = 'mmdet'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='PredictionPictures', drawing=dict(pred_score_thr=0.5)),
)
custom_hooks = [dict(type='Curves')]
env_cfg = dict(
    cudnn_benchmark=False,  # image sizes vary
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)  # fixed, so that an interrupted run continues as if it had not been
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], line_width=2, alpha=0.4)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
