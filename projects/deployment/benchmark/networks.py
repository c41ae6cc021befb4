"""Networks of timm, torchvision and this project, by name, in one shape: images to a tuple of tensors."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import timm
import torchvision
from mmengine.registry import MODELS
from torch import Tensor, nn

from projects.efficient_models.layers.conv_norm import fuse
from projects.efficient_models.token_mixers import build_token_mixer


class TensorsOut(nn.Module):
    """A network whose outputs, in dicts and lists of any kind, leave as one tuple.

    Args:
        network: What takes images (B, 3, H, W).
        takes_lists: Whether it takes a list of images (3, H, W) instead, as torchvision's detectors.
    """

    def __init__(self, network: nn.Module, takes_lists: bool = False) -> None:
        super().__init__()
        self.network, self.takes_lists = network, takes_lists

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Call the network."""
        return tuple(_tensors(self.network(list(images) if self.takes_lists else images)))


def timm_network(name: str, size: tuple[int, int]) -> nn.Module:
    """Build a network of timm, for a size in pixels if it is built for one.

    Raises:
        ValueError: timm has none of this name.
    """
    if not timm.is_model(name):
        raise ValueError(f'timm {timm.__version__} has no model {name!r}; `timm.list_models()` lists them')
    try:
        network = timm.create_model(name, img_size=size)
    except TypeError as error:
        if 'img_size' not in str(error):
            raise
        network = timm.create_model(name)
    return TensorsOut(network)


def torchvision_network(name: str, _: tuple[int, int]) -> nn.Module:
    """Build a network of torchvision, a detector too.

    Raises:
        ValueError: torchvision has none of this name.
    """
    known = torchvision.models.list_models()
    if name not in known:
        raise ValueError(f'torchvision has no model {name!r}; it has {", ".join(known)}')
    takes_lists = name in torchvision.models.list_models(torchvision.models.detection)
    options: dict[str, Any] = {'init_weights': True} if name in ('googlenet', 'inception_v3') else {}
    try:
        network = torchvision.models.get_model(name, weights=None, weights_backbone=None, **options)
    except (TypeError, ValueError) as error:
        if 'weights_backbone' not in str(error):
            raise
        network = torchvision.models.get_model(name, weights=None, **options)
    return TensorsOut(network, takes_lists)


def backbone(name: str, _: tuple[int, int]) -> nn.Module:
    """Build a registered backbone from CLASS/ARCH.

    Raises:
        ValueError: None of this name is registered, or it has no such variant.
    """
    kind, arch = name.split('/') if name.count('/') == 1 else (name, '')
    if kind not in MODELS:
        raise ValueError(f'no backbone {kind!r} is registered; SHViT, EfficientMod and TimmBackbone are')
    return TensorsOut(MODELS.build({'type': kind, 'arch': arch}))


class MixedPixels(nn.Sequential):
    """A token mixer on the pixels of an image, which a 1x1 convolution gives the channels that it takes.

    Args:
        name: Of the mixer.
        channels: Of the mixer.
    """

    def __init__(self, name: str, channels: int) -> None:
        super().__init__(nn.Conv2d(3, channels, 1), build_token_mixer(name, channels))

    def fuse(self) -> None:
        """Fold normalisation into convolutions, in place."""
        fuse(self)


def token_mixer(name: str, size: tuple[int, int]) -> nn.Module:
    """Build a token mixer from NAME/CHANNELS, on as many tokens as an image has pixels.

    Raises:
        ValueError: There is none of this name, or it does not take these channels.
    """
    del size
    kind, _, channels = name.partition('/')
    if not channels.isdecimal():
        raise ValueError(f'mixer:{name} says no number of channels; expected mixer:NAME/CHANNELS, mixer:softmax/128')
    return TensorsOut(MixedPixels(kind, int(channels)))


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, Mapping):
        yield from _tensors(list(outputs.values()))
    else:
        for output in outputs:
            yield from _tensors(output)


BUILDERS: dict[str, Callable[[str, tuple[int, int]], nn.Module]] = {
    'timm': timm_network,
    'torchvision': torchvision_network,
    'backbone': backbone,
    'mixer': token_mixer,
}
