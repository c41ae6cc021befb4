"""What every backbone of this package offers, written once."""

import inspect
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from mmengine.model import BaseModule
from timm.models import is_model_pretrained
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..checkpoint_keys import accept_foreign_keys, rename_keys
from ..layers.conv_norm import fuse
from .weights import read_checkpoint, read_published_weights, select_backbone


class Level(NamedTuple):
    """A feature map that a backbone can return.

    Attributes:
        channels: Channels of the map.
        stride: Image pixels per cell of the map, in both directions; maps of an image of height H have ceil(H / stride)
            rows.
        stage: The stage that ends with this map; 0 for a map of the stem.
    """

    channels: int
    stride: int
    stage: int


class Backbone(BaseModule):
    """Base class of all backbones.

    An architecture states its variants in `archs`, builds a stem `self.patch_embed` and stages `self.stages` in
    `build`, and yields its feature maps in `forward_levels`. Everything else is here.

    Args:
        arch: Name of the variant, a key of `archs`.
        out_indices: Increasing indices into `levels`, finest level first; by default the last output that the stages
            have at each stride. Levels beyond the last index are neither kept nor computed.
        frozen_stages: -1 freezes nothing, 0 the stem, k the stem and the stages 1 to k: no gradients, and eval mode in
            training.
        norm_eval: Whether batch normalisation uses its running statistics in training, too; its scale and shift are
            still trained.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0 over all blocks.
        with_cp: Whether to compute the activations of each block again in the backward pass, to save memory.
        pretrained: False for random weights; True for the published ImageNet weights, from an installed package (the
            extra `weights`) or timm's hub; or the path of a local checkpoint of timm or of the authors, of a classifier
            or of a detector.

    Attributes:
        levels: All levels of the architecture, finest first.
        out_channels: Channels of each returned map.
        strides: Stride of each returned map.

    Raises:
        ValueError: If an argument is unknown or none of the accepted values, or the checkpoint belongs to another
            network.
        FileNotFoundError: If there is no checkpoint at the path.
        ConnectionError: If the published weights cannot be fetched.
    """

    archs: ClassVar[Mapping[str, Any]]
    timm_name: str | None = None  # of the published weights, with '{arch}' for the variant
    weights_url: ClassVar[str | None] = None  # of the authors' checkpoints, where timm has none
    classifier_prefixes: tuple[str, ...] = ('head.', 'head_dist.')

    patch_embed: nn.Module
    stages: nn.ModuleList

    def __init__(
        self,
        arch: str,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        pretrained: bool | str | Path = False,
        **unknown: Any,
    ) -> None:
        super().__init__()
        network = type(self).__name__
        for option in unknown:
            raise ValueError(self._refusal(option))
        variant = self.find_variant(arch)
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate of {network} must be in [0, 1), got {drop_path_rate}.')
        self.arch = arch
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.drop_path_rate = drop_path_rate
        self.levels = self.build(variant)

        num_stages = self.levels[-1].stage
        if frozen_stages not in range(-1, num_stages + 1):
            raise ValueError(
                f'frozen_stages of {network} must be -1 (nothing), 0 (the stem) or 1 to {num_stages} '
                f'(the stem and the stages up to that one), got {frozen_stages!r}.'
            )
        self.frozen_stages = frozen_stages
        if out_indices is None:
            last_of_stride = {level.stride: index for index, level in enumerate(self.levels) if level.stage > 0}
            out_indices = list(last_of_stride.values())
        self.out_indices = self._checked_indices(out_indices)
        self.out_channels = tuple(self.levels[index].channels for index in self.out_indices)
        self.strides = tuple(self.levels[index].stride for index in self.out_indices)

        self._renamed_prefixes = self.timm_prefixes() | self.renamed_prefixes()
        self.register_key_hooks()
        if pretrained:
            self._load_pretrained(pretrained)
        self.drop_levels_after(self.out_indices[-1])
        for module in self._frozen_modules():
            module.requires_grad_(False)
        self.train()

    def find_variant(self, arch: str) -> Any:
        """Return the entry of `archs`.

        Raises:
            ValueError: If there is none.
        """
        if arch not in self.archs:
            raise ValueError(f'{type(self).__name__} has no arch {arch!r}. Choose one of {", ".join(self.archs)}.')
        return self.archs[arch]

    @abstractmethod
    def build(self, variant: Any) -> tuple[Level, ...]:
        """Create the layers, `self.patch_embed` and `self.stages` (an `nn.ModuleList`).

        `self.with_cp` is set already, and so is `self.drop_path_rate`, for `drop_path_rates`.

        Args:
            variant: What `find_variant` returned.

        Returns:
            All levels, finest first.
        """

    @abstractmethod
    def forward_levels(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """Compute the levels one by one, finest first; no more of them are asked for than are needed.

        Args:
            images: Normalised images, shape (B, 3, H, W).

        Yields:
            The map of each level, shape (B, channels, ceil(H / stride), ceil(W / stride)).
        """

    def drop_path_rates(self, depths: Sequence[int]) -> list[list[float]]:
        """Return the stochastic depth of every block of every stage, given the number of blocks of each."""
        rates = torch.linspace(0, self.drop_path_rate, sum(depths), device='cpu')
        return [stage_rates.tolist() for stage_rates in rates.split(list(depths))]

    def renamed_prefixes(self) -> dict[str, str]:
        """Return our key prefix for each one of the authors' that differs from it, one to one.

        Every prefix ends with a dot, and none begins another. Names that are timm's or the authors' need no entry.
        """
        return {}

    def timm_prefixes(self) -> dict[str, str]:
        """Return our key prefix for each one of timm's that differs from it, like `renamed_prefixes`."""
        return {}

    def resize_weights(self, state_dict: dict[str, Any], prefix: str = '') -> None:
        """Fit weights that were trained at another resolution to this network, in place; by default there are none.

        Args:
            state_dict: Tensors by key; the part under `prefix` is the backbone's, under our names.
            prefix: Where in the state dict the backbone stands, for instance `'backbone.'`.
        """

    def register_key_hooks(self) -> None:
        """Make `load_state_dict` understand the names and shapes of other origin."""
        accept_foreign_keys(self, self._renamed_prefixes)
        self.register_load_state_dict_pre_hook(_resize_on_load)

    def drop_levels_after(self, last: int) -> None:
        """Remove the layers that only levels beyond the index `last` need."""
        self.stages = self.stages[: self.levels[last].stage]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the levels of `out_indices`.

        Args:
            images: Normalised images of any size, shape (B, 3, H, W).

        Returns:
            One map per output index, shape (B, C, ceil(H / stride), ceil(W / stride)).
        """
        levels = islice(self.forward_levels(images), self.out_indices[-1] + 1)
        return tuple(level for index, level in enumerate(levels) if index in self.out_indices)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and eval mode, except for what `frozen_stages` and `norm_eval` keep in eval mode."""
        super().train(mode)
        if mode:
            norms = [module for module in self.modules() if self.norm_eval and isinstance(module, _BatchNorm)]
            for module in [*self._frozen_modules(), *norms]:
                module.eval()
        return self

    def fuse(self) -> Self:
        """Fold normalisation into the convolutions, in place, for inference.

        The parameters change their names: load checkpoints first.

        Returns:
            The backbone itself, in eval mode.
        """
        fuse(self.eval())
        return self

    def stem_and_stages(self) -> list[nn.Module]:
        """Return the stem and then each stage that is kept, as layers of the backbone or lists of them."""
        return [self.patch_embed, *self.stages]

    def _refusal(self, option: str) -> str:
        constructors = (inspect.signature(owner.__init__).parameters.values() for owner in (Backbone, type(self)))
        known = dict.fromkeys(
            parameter.name
            for parameter in chain(*constructors)
            if parameter.name != 'self' and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        )
        close = get_close_matches(option, known, n=1, cutoff=0.8)
        hint = f' Did you mean {close[0]}?' if close else ''
        return f'{type(self).__name__} has no option {option!r}.{hint} Its options are {", ".join(known)}.'

    def _frozen_modules(self) -> list[nn.Module]:
        return self.stem_and_stages()[: self.frozen_stages + 1]

    def _checked_indices(self, out_indices: Sequence[int]) -> tuple[int, ...]:
        indices = tuple(out_indices)
        valid = range(len(self.levels))
        if not indices or any(index not in valid for index in indices) or list(indices) != sorted(set(indices)):
            choices = ', '.join(f'{index} (stride {level.stride})' for index, level in enumerate(self.levels))
            raise ValueError(
                f'out_indices of {type(self).__name__} must be one or more of these, in increasing order: {choices}; '
                f'got {indices}.'
            )
        return indices

    def _load_pretrained(self, source: bool | str | Path) -> None:
        network = f"{type(self).__name__}(arch='{self.arch}')"
        if source is not True:
            state_dict = read_checkpoint(Path(str(source)).expanduser())
        elif self.timm_name is not None and is_model_pretrained(self.timm_name.format(arch=self.arch)):
            source = self.timm_name.format(arch=self.arch)
            state_dict = read_published_weights(source)
        else:
            authors = f" The authors' are linked from {self.weights_url}." if self.weights_url else ''
            raise ValueError(
                f"timm's hub has no weights for {network}.{authors} Pass the path of a local checkpoint, "
                "pretrained='path.pth', or pretrained=False for random weights."
            )
        state_dict = select_backbone(state_dict, self.classifier_prefixes)
        rename_keys(state_dict, self._renamed_prefixes)
        self.resize_weights(state_dict)
        own = self.state_dict()
        problems = {
            # torch fills in the step counters that old checkpoints lack; they play no part in the result
            'missing': [key for key in own if key not in state_dict and not key.endswith('.num_batches_tracked')],
            'unexpected': [key for key in state_dict if key not in own],
            'of another shape': [
                f'{key} {tuple(state_dict[key].shape)} instead of {tuple(value.shape)}'
                for key, value in own.items()
                if key in state_dict and state_dict[key].shape != value.shape
            ],
        }
        if any(problems.values()):
            lists = '\n'.join(f'  {kind}: {_listed(keys)}' for kind, keys in problems.items() if keys)
            raise ValueError(
                f'The checkpoint {source} does not belong to {network}; check arch and pretrained. Its keys:\n{lists}'
            )
        self.load_state_dict(state_dict)


def _resize_on_load(backbone: Backbone, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    backbone.resize_weights(state_dict, prefix)


def _listed(keys: list[str], limit: int = 20) -> str:
    more = f' and {len(keys) - limit} more' if len(keys) > limit else ''
    return ', '.join(keys[:limit]) + more
