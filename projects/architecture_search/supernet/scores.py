"""What the networks of a trained supernet score."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from projects.reporting.notices import only_warnings
from projects.training.checkpoints import fit_weights, read_weights, refuse
from projects.training.image_scale import scale_images

from ..space import IMAGE_SCALE, GrowSpace, Point
from .recalibration import recalibrate
from .supernet import digest_of, space_config

MAX_KEPT_BYTES = 2**31
AT_ONCE = 8  # images of one size
NUM_BATCHES = 10  # of training images, to recompute the statistics of batch norms on


@dataclass(frozen=True)
class _Data:
    """What networks of one image size are scored on."""

    model: Mapping[str, Any]
    training_batches: list[Any]
    validation_batches: Iterable[Any]
    num_images: int
    evaluator: Any


class SupernetScores:
    """Scores networks with the weights that they share.

    The checkpoint is read once. Images are loaded once for each scale, and kept in memory as the pipelines give them,
    unless those of a scale take more than 2 GiB.

    Args:
        cfg: Of the task, as `supernet_config` was given it; `val_dataloader` and `val_evaluator` say what is scored.
        space: The networks.
        checkpoint: Of the training of the supernet.
        key: Of the evaluator's scores.
        num_batches: Training batches on which the statistics of batch norms are recomputed.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is none of a supernet of these networks.
    """

    def __init__(
        self, cfg: Config, space: GrowSpace, checkpoint: str | Path, key: str, num_batches: int = NUM_BATCHES
    ) -> None:
        self.cfg, self.space, self.key, self.num_batches = cfg, space, key, num_batches
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        weights = read_weights(checkpoint)
        expected = digest_of(space)
        if (found := weights.get('space_digest')) is None:
            raise ValueError(f'{checkpoint} is no checkpoint of a supernet, but of a single network')
        if not torch.equal(found, expected):
            raise ValueError(
                f'{checkpoint} holds the networks of another space than this, whose choices are '
                f'{space.own_choices}. Train a supernet of this space, or use the space that it was trained for'
            )
        supernet = MODELS.build({'type': 'Supernet', 'space': space_config(space), 'model': cfg.model})
        refuse(
            fit_weights(supernet, weights, str(checkpoint)),
            f'{checkpoint} does not fit the model of {cfg.filename}; was it trained for other classes or another head?',
        )
        self.store = supernet.store
        if torch.cuda.is_available():
            self.store.cuda()
        self._data: dict[float, _Data] = {}

    def score(self, point: Point) -> float:
        """What the network of a point scores on the validation set, its batch norms recalibrated.

        Raises:
            ValueError: The point is not of this space, or the evaluator gives no such score.
        """
        point = self.space.check(point)
        data = self._data_at(float(point[IMAGE_SCALE]))
        network = self.network(point)
        with torch.no_grad():
            for batch in data.validation_batches:
                outputs = network.val_step(copy.copy(batch))
                data.evaluator.process(data_samples=outputs, data_batch=batch)
        with only_warnings():
            scores = data.evaluator.evaluate(data.num_images)
        if self.key not in scores:
            raise ValueError(f'{self.cfg.filename} gives no score {self.key!r}; expected one of {", ".join(scores)}')
        return float(scores[self.key])

    def network(self, point: Point) -> BaseModel:
        """The network of a point with weights of its own, its batch norms recalibrated, in eval mode.

        Raises:
            ValueError: The point is not of this space.
        """
        point = self.space.check(point)
        data = self._data_at(float(point[IMAGE_SCALE]))
        network = self.store.subnetwork(point, data.model).to(memory_format=torch.channels_last)
        recalibrate(network, data.training_batches)
        return network

    def _data_at(self, image_scale: float) -> _Data:
        if image_scale not in self._data:
            cfg = copy.deepcopy(self.cfg)
            if image_scale != 1:
                scale_images(cfg, image_scale)
            self._data[image_scale] = self._load(cfg)
        return self._data[image_scale]

    def _load(self, cfg: Config) -> _Data:
        seed = cfg.get('randomness', {}).get('seed') or 0
        training = Runner.build_dataloader(cfg.train_dataloader, seed=seed)
        if hasattr(training.dataset, 'set_position'):
            training.dataset.set_position(seed, 0)
        validation = Runner.build_dataloader(cfg.val_dataloader, seed=seed)
        evaluator = Runner.build_evaluator(None, cfg.val_evaluator)  # uses nothing of a runner
        evaluator.dataset_meta = validation.dataset.metainfo
        return _Data(
            model=cfg.model,
            training_batches=list(islice(training, self.num_batches)),
            validation_batches=_kept(validation),
            num_images=len(validation.dataset),
            evaluator=evaluator,
        )


def _kept(loader: Iterable[Any]) -> Iterable[Any]:
    """The batches of a loader, in memory if they fit there, and there as many images of one size at once as may be."""
    by_size: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    size = 0
    for batch in loader:
        for position, image in enumerate(batch['inputs']):
            one = {name: values[position] for name, values in batch.items()}
            by_size.setdefault(tuple(image.shape), []).append(one)
            size += image.numel() * image.element_size()
        if size > MAX_KEPT_BYTES:
            return loader
    return [
        {name: [one[name] for one in images[start : start + AT_ONCE]] for name in images[0]}
        for images in by_size.values()
        for start in range(0, len(images), AT_ONCE)
    ]
