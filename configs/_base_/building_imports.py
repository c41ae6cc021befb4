"""Modules that configs of buildings import, for their `custom_imports`: those of every run and the task's own."""

building_imports = [
    'projects.openmmlab_compat',  # first
    'projects.efficient_models',
    'projects.training',
    'projects.building_extraction.datasets',
    'projects.building_extraction.evaluation',
    'projects.building_extraction.knowledge_transfer',
    'projects.building_extraction.roof_offsets',
]
