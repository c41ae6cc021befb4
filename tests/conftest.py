"""Runs before every test module."""

import torch

import projects  # noqa: F401 (OpenMMLab can be imported from here on)

torch.set_num_threads(1)  # the tensors are small; more threads only wait for one another
