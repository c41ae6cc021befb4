"""Runs before every test module."""

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')  # the tensors are small; more threads only wait for one another

import torch

import projects  # noqa: F401 (OpenMMLab can be imported from here on)

torch.set_num_threads(1)
