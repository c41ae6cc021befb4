"""What every run on buildings shares: `segmentation_runtime.py` with the task's own data, scores and methods."""

_base_ = './segmentation_runtime.py'

custom_imports = dict(
    imports=[
        'projects.openmmlab_compat',  # first
        'projects.efficient_models',
        'projects.training',
        'projects.building_extraction.datasets.registered',
        'projects.building_extraction.evaluation',
        'projects.building_extraction.knowledge_transfer',
    ],
    allow_failed_imports=False,
)
default_hooks = dict(checkpoint=dict(interval=500))
