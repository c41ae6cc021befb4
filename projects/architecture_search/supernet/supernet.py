"""All networks of a space, trained at once."""

import copy
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS
from torch.func import functional_call

from projects.storage.parameters import digest

from ..space import GrowSpace, Point
from .distillation import Maps, distillation_loss, recording
from .store import WeightStore

NUM_RANDOM = 2  # networks of a step besides the largest and the smallest
MAX_DRAWS = 100  # of a network, until its parts fit together and its scores in memory


@MODELS.register_module()
class Supernet(BaseModel):
    """Networks that share their weights, trained by the sandwich rule with in-place distillation.

    Each step trains the largest network on the labels; then the smallest and two that are drawn, on the labels and on
    what the largest says of the same images (https://arxiv.org/abs/1903.05134). The gradients are averaged before the
    one step of the optimiser. Token mixers are drawn for all four, so that each is trained in every size.

    What is drawn follows from torch's random numbers, which the train loop seeds for every iteration: a training that
    was interrupted goes on with the same networks.

    Args:
        space: Fields of a `GrowSpace`.
        model: Config of the whole model of a task, whose backbone is a `MixerPyramid`.

    Raises:
        ValueError: The backbone is another.
    """

    builds_networks: ClassVar = True

    def __init__(self, space: Mapping[str, Any], model: Mapping[str, Any]) -> None:
        grow_space = GrowSpace(**{name: _as_tuples(value) for name, value in space.items()})
        store = WeightStore(grow_space, model)
        super().__init__(data_preprocessor=store.parts['network'].data_preprocessor)
        self.store = store
        self.space = grow_space
        self.space_digest: torch.Tensor
        self.register_buffer('space_digest', digest_of(grow_space))

    def init_weights(self) -> None:
        """Initialise as the recipe of the model says."""
        self.store.init_weights()

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, torch.Tensor]:
        """Train the largest, the smallest and two other networks on a batch.

        Returns:
            What is logged: `loss`, the mean that is minimised; `loss_largest`, `loss_smallest` and `loss_random`, on
            the labels; and `loss_distillation`, the mean of all but the largest.
        """
        generator = np.random.default_rng(int(torch.randint(2**31, ())))
        batch = self.data_preprocessor(data, True)
        logged: dict[str, list[torch.Tensor]] = {}
        teacher: Maps | None = None
        for kind, point, network in self._drawn(generator):
            with optim_wrapper.optim_context(network), recording(network) as recorded:
                weights = self.store.weights(network, point)
                losses = functional_call(network, weights, kwargs={**batch, 'mode': 'loss'})
            loss, _ = network.parse_losses(losses)
            logged.setdefault(f'loss_{kind}', []).append(loss.detach())
            maps = recorded.pop()
            if teacher is None:
                teacher = maps.detach() if isinstance(maps, torch.Tensor) else [one.detach() for one in maps]
            else:
                distillation = distillation_loss(maps, teacher, of_logits=hasattr(network, 'decode_head'))
                logged.setdefault('loss_distillation', []).append(distillation.detach())
                loss = loss + distillation
            logged.setdefault('loss', []).append(loss.detach())
            optim_wrapper.backward(loss / (2 + NUM_RANDOM))
        optim_wrapper.step()
        optim_wrapper.zero_grad()
        return OrderedDict((name, torch.stack(logged[name]).mean()) for name in sorted(logged, key=len))

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """A supernet is many networks, and none of them by itself.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            'a supernet is trained by one process, and predicts by one of its networks: store.subnetwork(point)'
        )

    def _drawn(self, generator: np.random.Generator) -> Iterator[tuple[str, Point, BaseModel]]:
        """The networks of a step: kind, point and network, the largest first."""
        kinds = ['largest', 'smallest', *['random'] * NUM_RANDOM]
        for kind in kinds:
            for draw in range(MAX_DRAWS):
                point = self._draw(kind, generator)
                try:
                    network = self.store.network(point)
                except ValueError:  # its mixers do not take these widths, or do not fit in memory
                    if draw == MAX_DRAWS - 1:
                        raise
                else:
                    break
            yield kind, point, network.train()

    def _draw(self, kind: str, generator: np.random.Generator) -> Point:
        point = self.space.random(generator)
        if kind == 'random':
            return point
        return self.space.extreme(kind == 'largest', [str(point[f'mixer{stage}']) for stage in range(1, 5)])


def digest_of(space: GrowSpace) -> torch.Tensor:
    """What tells the networks of a space from those of others, whatever their image sizes and precisions, 6 bytes."""
    content = {name: value for name, value in asdict(space).items() if name not in ('precisions', 'image_scales')}
    return torch.frombuffer(bytearray.fromhex(digest([json.dumps(content).encode()])[:12]), dtype=torch.uint8)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def space_config(space: GrowSpace) -> dict[str, Any]:
    """The argument `space` of a `Supernet`."""
    return copy.deepcopy(asdict(space))
