"""What every run on buildings shares: `segmentation_runtime.py` with the task's own data, scores and methods."""

_base_ = ['./segmentation_runtime.py', './building_imports.py']

custom_imports = dict(imports=_base_.building_imports)
default_hooks = dict(checkpoint=dict(interval=500))
