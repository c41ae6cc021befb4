import importlib.util
import json
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from projects.efficient_models.checkpoint_keys import rename_keys


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


class Golden:
    """What the authors' own code computes from deterministic weights and images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec = importlib.util.spec_from_file_location('deterministic', folder / 'deterministic.py')
        self.deterministic = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.deterministic)

    def shapes(self, name: str) -> dict[str, list[int]]:
        """Shape of every weight, under the authors' key names."""
        return json.loads((self.folder / f'{name}.json').read_text())

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        return self.deterministic.deterministic_state_dict(self.shapes(name))

    def outputs(self, name: str) -> Iterator[tuple[torch.Tensor, list[torch.Tensor]]]:
        """Each image, and its maps, finest first."""
        arrays = np.load(self.folder / f'{name}.npz')
        sizes = sorted({key.split('/')[0] for key in arrays})
        assert sizes
        for size in sizes:
            keys = sorted(key for key in arrays if key.startswith(f'{size}/'))
            image = self.deterministic.deterministic_input(*map(int, size.split('x')))
            yield image, [torch.from_numpy(arrays[key]) for key in keys]

    def largest_error(self, name: str, network: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]) -> float:
        """The largest deviation of a network in eval mode, relative to the mean magnitude of each map."""
        errors = []
        with torch.inference_mode():
            for image, expected in self.outputs(name):
                for output, reference in zip(network(image), expected, strict=True):
                    assert output.shape == reference.shape
                    errors.append((output - reference).abs().max() / reference.abs().mean())
        return torch.stack(errors).max().item()  # unlike Python's, torch's maximum passes NaN on


@pytest.fixture(scope='session')
def golden() -> Golden:
    """Kept outside the project."""
    folder = Path(__file__).parents[3] / 'shared' / 'golden'
    if not folder.is_dir():
        pytest.skip(f'the golden features are not at {folder}')
    return Golden(folder)


@pytest.fixture(scope='session')
def assert_keys_map_one_to_one() -> Callable[[nn.Module, dict[str, list[int]]], None]:
    """Every key of the authors has one of ours and the reverse, both with the same shape."""

    def check(module: nn.Module, shapes: dict[str, list[int]]) -> None:
        own = {k: list(v.shape) for k, v in module.state_dict().items() if not k.endswith('num_batches_tracked')}
        to_own = module.renamed_prefixes()
        to_theirs = {own_prefix: foreign for foreign, own_prefix in to_own.items()}
        assert len(to_theirs) == len(to_own)
        for prefixes in (to_own, to_theirs):
            assert all(prefix.endswith('.') for prefix in prefixes)
            assert not [pair for pair in permutations(prefixes, 2) if pair[0].startswith(pair[1])]
        forwards, backwards = dict(shapes), dict(own)
        rename_keys(forwards, to_own)
        rename_keys(backwards, to_theirs)
        assert forwards == own
        assert backwards == shapes

    return check
