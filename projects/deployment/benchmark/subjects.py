"""Models that a benchmark can time, from what is typed for them."""

import copy
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from timm.utils import reparameterize_model
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from projects.training.checkpoints import switch_off_pretrained
from projects.training.config import load_config

from ..inference_graphs import build_graph, load_model
from ..model_info import ModelInfo
from ..model_table.complexity import count_complexity
from ..multiply_adds import count_macs
from .networks import BUILDERS, TensorsOut

FILES = ('.onnx', '.xml')
FORMS = (
    "a config (.py, or CONFIG@CHECKPOINT), 'timm:NAME', 'torchvision:NAME', 'backbone:CLASS/ARCH', "
    "'mixer:NAME/CHANNELS', .onnx or .xml"
)
MEAN, STD = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)

Fold = Callable[[nn.Module, Tensor], None]
"""Folds batch norms of a network into its convolutions, in place, from one run on images."""


@dataclass
class Subject:
    """A model to time.

    Attributes:
        name: As it is shown.
        size: Height and width of its images in pixels.
        takes_pixels: Whether it takes uint8 (B, H, W, 3), RGB; else float (B, 3, H, W), normalised.
        network: As it was built, in eval mode, returning a tuple of tensors; None: a file.
        file: An exported file; None: a network.
        fold: See `Fold`.
        text: What `open_subject` built it from.
        params: Parameters, None for a file.
        macs: Multiply-adds of an image, None for a file.
    """

    name: str
    size: tuple[int, int]
    takes_pixels: bool = False
    network: nn.Module | None = None
    file: Path | None = None
    fold: Fold | None = None
    text: str = ''
    params: int | None = None
    macs: int | None = None
    _fused: nn.Module | None = field(default=None, repr=False)

    def images(self, batch_size: int) -> np.ndarray:
        """Return the benchmark's images as this model takes them; their pixels are the same for all models."""
        pixels = benchmark_pixels(batch_size, self.size)
        if self.takes_pixels:
            return pixels
        return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(0, 3, 1, 2))

    def fused(self) -> nn.Module:
        """Return a copy for inference: branches merged, batch norms folded. It is made once."""
        assert self.network is not None
        if self._fused is None:
            network = copy.deepcopy(self.network).cpu()
            inner = getattr(network, 'network', network)
            backbone = getattr(inner, 'backbone', inner)
            if hasattr(backbone, 'fuse'):
                backbone.fuse()  # type: ignore[operator]
            else:
                reparameterize_model(network, inplace=True)
            if self.fold is not None and not self.takes_pixels:
                self.fold(network, torch.from_numpy(self.images(1)))
            self._fused = network.requires_grad_(False)
        return self._fused


def benchmark_pixels(batch_size: int, size: tuple[int, int]) -> np.ndarray:
    """Return uint8 images (B, H, W, 3) of smooth random colours, the same ones whenever asked for."""
    generator = np.random.default_rng(0)
    coarse = generator.random((batch_size, 3, math.ceil(size[0] / 32), math.ceil(size[1] / 32)), np.float32)
    smooth = nn.functional.interpolate(torch.from_numpy(coarse), size, mode='bicubic').clamp(0, 1)
    return (255 * smooth).byte().permute(0, 2, 3, 1).contiguous().numpy()


def open_subject(text: str, size: tuple[int, int], fold: Fold | None = None) -> Subject:
    """Build the model that a text stands for, with random weights unless it names a checkpoint or file.

    Args:
        text: See `FORMS`.
        size: Height and width of its images in pixels.
        fold: See `Fold`; None: batch norms stay.

    Returns:
        The model. Batch norms have the statistics of the benchmark's images, so that no activations vanish.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Nothing can be made of the text, or nothing of such a name is known.
    """
    path, _, checkpoint = text.partition('@')
    if Path(path).suffix == '.py':
        return _config_subject(path, checkpoint or None, size)
    if Path(text).suffix in FILES:
        return _file_subject(Path(text), size)
    kind, _, name = text.partition(':')
    if kind not in BUILDERS or not name:
        raise ValueError(f'{text!r} is no model; expected {FORMS}')
    torch.manual_seed(0)
    title = text if kind == 'torchvision' else name  # timm has some of the same names
    subject = network_subject(title, BUILDERS[kind](name, size), size, fold)
    subject.text = text
    return subject


def network_subject(name: str, network: nn.Module, size: tuple[int, int], fold: Fold | None = None) -> Subject:
    """Prepare any network that takes images (B, 3, H, W); see `open_subject`."""
    subject = Subject(name, size, network=network.eval(), fold=fold)
    images = torch.from_numpy(subject.images(2))
    settle_batch_norms(network, images)
    subject.params = sum(parameter.numel() for parameter in network.parameters())
    subject.macs = network_macs(network, images[:1])
    network.requires_grad_(False)
    return subject


def settle_batch_norms(network: nn.Module, images: Tensor) -> None:
    """Give batch norms the statistics of some images, and a scale where it starts at 0; in place.

    Without it random networks compute with numbers so small that processors become slow, or with zeros alone.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        if norm.weight is not None and not norm.weight.any():
            nn.init.ones_(norm.weight)
        norm.momentum = None
        norm.reset_running_stats()
        norm.train()
    with torch.no_grad():
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def network_macs(network: nn.Module, images: Tensor) -> int:
    """Multiply-adds of a network on images (B, 3, H, W), as `multiply_adds` counts them."""
    takes_lists = isinstance(network, TensorsOut) and network.takes_lists
    # the work of torchvision's detectors depends on what they find
    mode = torch.no_grad() if takes_lists else FakeTensorMode(allow_non_fake_inputs=True)
    with torch.no_grad(), mode:
        _, macs = count_macs(network, images if takes_lists else torch.empty(images.shape))
    for module in network.modules():
        module.train(module.training)  # networks forget what they may have kept of tensors without data
    return macs.total


def _config_subject(path: str, checkpoint: str | None, size: tuple[int, int]) -> Subject:
    cfg = load_config(path)
    switch_off_pretrained(cfg.model)
    model = load_model(cfg, checkpoint)
    complexity = count_complexity(model, size)
    graph = build_graph(model, dataclasses.replace(ModelInfo.from_config(cfg), output='labels'))
    subject = Subject(
        Path(path).stem,
        size,
        takes_pixels=True,
        network=graph,
        text=path if checkpoint is None else f'{path}@{checkpoint}',
        params=complexity.params,
        macs=complexity.macs.total,
    )
    if checkpoint is None:
        settle_batch_norms(graph, torch.from_numpy(subject.images(1)))
    return subject


def _file_subject(path: Path, size: tuple[int, int]) -> Subject:
    if not path.is_file():
        raise FileNotFoundError(f'no exported file {path}')
    return Subject(path.name, size, takes_pixels=True, file=path)
