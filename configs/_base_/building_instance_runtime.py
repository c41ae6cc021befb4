"""What runs of building instances share: `default_runtime.py` with the task's own data and scores."""

_base_ = './default_runtime.py'

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
