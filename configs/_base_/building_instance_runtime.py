"""What runs of building instances share: `default_runtime.py` with the task's own data and scores."""

_base_ = ['./default_runtime.py', './building_imports.py']

custom_imports = dict(imports=_base_.building_imports)
