from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def randomize() -> Callable[[nn.Module], nn.Module]:
    """Leaves no layer at an initial value that hides it: zero scales, identity statistics."""

    def randomize(network: nn.Module) -> nn.Module:
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if tensor.dim() == 1:
                low, high = (0.5, 1.5) if name.endswith(('running_var', 'weight')) else (-0.5, 0.5)
                nn.init.uniform_(tensor, low, high)
        return network

    return randomize


@pytest.fixture(scope='session')
def golden() -> Path:
    """Features of the authors' own code, kept outside the project."""
    folder = Path(__file__).parents[3] / 'shared' / 'golden'
    if not folder.is_dir():
        pytest.skip(f'the golden features are not at {folder}')
    return folder
