"""What any trained model needs on its way to use.

Packages that work with models of OpenMMLab import `openmmlab_compat`; what runs exported files does without PyTorch.
"""
