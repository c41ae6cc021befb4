"""The decoders of segmentation_models.pytorch (SMP) over any backbone.

Code: https://github.com/qubvel-org/segmentation_models.pytorch (MIT licence)
"""

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import segmentation_models_pytorch as smp
import torch
from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from segmentation_models_pytorch.base.initialization import initialize_decoder
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.linknet.decoder import LinknetDecoder
from segmentation_models_pytorch.decoders.manet.decoder import MAnetDecoder
from segmentation_models_pytorch.decoders.pan.decoder import PANDecoder
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.unetplusplus.decoder import UnetPlusPlusDecoder
from torch import nn
from torch.nn import functional as F


class Decoder(NamedTuple):
    """One of SMP's decoders, and what it asks for.

    Attributes:
        network: SMP's class.
        kernel_size: Of the convolution that SMP classifies its output with.
        needs: Which of the levels at strides 1, 2, 4, … it cannot do without.
        coarsest: Smallest and largest stride of its coarsest level. SMP's encoders have at least three levels.
        min_cells: Rows and columns that its coarsest map must have.
        options: Defaults of SMP's model, where the decoder itself has none.
    """

    network: type[nn.Module]
    kernel_size: int
    needs: slice = slice(0)
    coarsest: tuple[int, int] = (8, 64)
    min_cells: int = 0
    options: Mapping[str, Any] = {}


DECODERS = {
    'Unet': Decoder(UnetDecoder, 3),
    'UnetPlusPlus': Decoder(UnetPlusPlusDecoder, 3, needs=slice(2, None)),
    'MAnet': Decoder(MAnetDecoder, 3),
    'Linknet': Decoder(LinknetDecoder, 1),
    'FPN': Decoder(FPNDecoder, 1, needs=slice(-4, None), coarsest=(16, 64)),
    'PSPNet': Decoder(PSPDecoder, 3),
    # its pyramid attention halves the coarsest map three times
    'PAN': Decoder(
        PANDecoder, 3, needs=slice(2, None), coarsest=(8, 32), min_cells=8, options={'decoder_channels': 32}
    ),
    'DeepLabV3Plus': Decoder(
        DeepLabV3PlusDecoder,
        1,
        needs=slice(2, 3),
        options={'out_channels': 256, 'atrous_rates': (12, 24, 36), 'aspp_separable': True, 'aspp_dropout': 0.5},
    ),
}
WIDTHS = (16, 32, 64, 128, 256, 512)  # `decoder_channels` at strides 1, 2, 4, …; SMP's defaults, continued to stride 32


@MODELS.register_module()
class SMPHead(BaseDecodeHead):
    """A decoder of SMP with its classifier: for the same maps, the logits of SMP's own model.

    SMP's encoders halve the resolution level by level, from the image itself at stride 1. The strides between 1 and the
    coarsest that the backbone does not give are filled with maps of no channels, as SMP does for its transformers.
    Every decoder goes as deep as the coarsest stride: five levels below the image for 32, six for 64.

    | decoder                               | inputs, by stride               | stride of the logits |
    |---------------------------------------|---------------------------------|----------------------|
    | Unet, MAnet, Linknet                  | any                             | 1                    |
    | UnetPlusPlus                          | from 4 on, without gaps         | 1                    |
    | FPN                                   | the four coarsest, without gaps | that of the fourth   |
    | PAN                                   | from 4 to 32, without gaps      | 4                    |
    | PSPNet                                | the coarsest; others are unused | that of the coarsest |
    | DeepLabV3Plus                         | 4 and the coarsest              | 4                    |

    Where a batch norm sees globally pooled features (PAN, DeepLabV3Plus), a batch in training must have two images.

    Note:
        - SMP refuses images whose sides are no multiples of the coarsest stride, except in U-Net. Here the maps are
          continued to the next multiple by their last row and column, and the logits are cut back.
        - SMP's DeepLabV3+ is for coarsest strides of 8 and 16, by dilated encoders. Here its upsampling follows the
          stride; the atrous rates stay as they are, so that 16 (the backbone's levels up to there) fits the default.
        - SMP enlarges logits with `align_corners=True`; mmseg's heads leave it to `align_corners`, by default False.
        - All decoders start as SMP's do, from Kaiming's uniform distribution; SMP leaves out DeepLabV3+.

    Args:
        decoder: One of Unet, UnetPlusPlus, MAnet, Linknet, FPN, PSPNet, PAN, DeepLabV3Plus.
        in_channels: Channels of the inputs, finest first.
        strides: Stride of each input, powers of two.
        in_index: Indices of the inputs among the backbone's maps; by default all maps, in order.
        decoder_options: Further arguments of SMP's decoder class, such as `decoder_channels` or `attention_type` of
            U-Net; by default those of SMP's model.
        dropout_ratio: Probability of dropping a channel before it is classified. Several decoders have dropout of their
            own, set by `decoder_options`.
        **kwargs: `num_classes`, `loss_decode`, `ignore_index` and others of mmseg's `BaseDecodeHead`.

    Raises:
        ValueError: If the decoder or one of its options is unknown, it lacks a level, or the strides are no increasing
            powers of two, one for each input.
    """

    def __init__(
        self,
        decoder: str,
        in_channels: Sequence[int],
        strides: Sequence[int],
        in_index: Sequence[int] | None = None,
        decoder_options: Mapping[str, Any] | None = None,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if decoder not in DECODERS:
            raise ValueError(f'decoder of SMPHead must be one of {", ".join(DECODERS)}, got {decoder!r}.')
        in_index = range(len(in_channels)) if in_index is None else in_index
        if (
            not len(in_channels) == len(in_index) == len(strides) > 0
            or list(strides) != sorted(set(strides))
            or any(stride < 2 or stride.bit_count() != 1 for stride in strides)
        ):
            raise ValueError(
                'SMPHead takes its inputs finest first: strides must be increasing powers of two from 2 on, one for '
                f'each of in_channels and in_index; got strides={tuple(strides)}, in_channels={tuple(in_channels)} '
                f'and in_index={tuple(in_index)}.'
            )
        spec = DECODERS[decoder]
        all_strides = [2**level for level in range(strides[-1].bit_length())]
        how = 'Choose the levels by in_index of SMPHead and out_indices of the backbone.'
        if not spec.coarsest[0] <= strides[-1] <= spec.coarsest[1]:
            raise ValueError(
                f'The coarsest stride of {decoder} must be {spec.coarsest[0]} to {spec.coarsest[1]}, got '
                f'strides={tuple(strides)}. {how}'
            )
        if missing := set(all_strides[spec.needs]) - set(strides):
            raise ValueError(
                f'{decoder} lacks the levels of strides {sorted(missing)}, got strides={tuple(strides)}. {how}'
            )
        channels_at = dict(zip(strides, in_channels, strict=True))
        network = _build(decoder, [channels_at.get(stride, 0) for stride in all_strides], decoder_options or {})
        super().__init__(
            list(in_channels),
            _out_channels(network, channels_at, all_strides),
            in_index=list(in_index),
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            **kwargs,
        )
        self.strides = tuple(strides)
        self.all_strides = all_strides
        self.multiple = strides[-1] if getattr(smp, decoder).requires_divisible_input_shape else strides[0]
        self.min_size = spec.min_cells * strides[-1]
        self.decoder = network
        self.conv_seg = nn.Conv2d(self.channels, self.out_channels, spec.kernel_size, padding=spec.kernel_size // 2)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Compute the logits.

        Args:
            inputs: All maps of the backbone, each of shape (B, C, ceil(H / stride), ceil(W / stride)).

        Returns:
            Logits of shape (B, num_classes, ceil(H / s), ceil(W / s)), where s is the stride of the logits and image
            sizes are rounded up to the finest input's stride.

        Raises:
            ValueError: If the sizes of the maps contradict the strides.
        """
        maps = dict(zip(self.strides, self._transform_inputs(inputs), strict=True))
        finest = maps[self.strides[0]]
        size = [cells * self.strides[0] for cells in finest.shape[2:]]
        padded_size = [max(_ceil_div(length, self.multiple) * self.multiple, self.min_size) for length in size]
        features = []
        for stride in self.all_strides:
            height, width = (_ceil_div(length, stride) for length in padded_size)
            if stride not in maps:
                features.append(finest.new_empty(len(finest), 0, height, width))
                continue
            x = maps[stride]
            if list(x.shape[2:]) != [_ceil_div(length, stride) for length in size]:
                sizes = ', '.join(f'{s}: {tuple(x.shape[2:])}' for s, x in maps.items())
                raise ValueError(
                    f'The sizes of the maps do not fit the strides of SMPHead ({sizes}). Set strides to those of the '
                    "maps that in_index chooses; the backbone's own are in its attribute strides."
                )
            if x.shape[2:] != (height, width):
                x = F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]), mode='replicate')
            features.append(x)
        decoded = self.decoder(features)
        stride = padded_size[0] // decoded.shape[2]
        height, width = (_ceil_div(length, stride) for length in size)
        return self.cls_seg(decoded)[:, :, :height, :width]

    def loss_by_feat(self, seg_logits: torch.Tensor, batch_data_samples: list) -> dict[str, torch.Tensor]:
        """Compute mmseg's losses; the accuracy only of several channels, as mmseg takes it from the highest one."""
        losses = super().loss_by_feat(seg_logits, batch_data_samples)
        if self.out_channels == 1:
            del losses['acc_seg']
        return losses


def _build(decoder: str, encoder_channels: list[int], options: Mapping[str, Any]) -> nn.Module:
    """Create SMP's decoder for maps at strides 1, 2, 4, … with these channels, 0 for those that are not given."""
    spec = DECODERS[decoder]
    accepted = inspect.signature(spec.network).parameters
    depth = len(encoder_channels) - 1
    given = {'encoder_channels': encoder_channels, 'n_blocks': depth, 'encoder_depth': depth, 'output_stride': 16}
    if unknown := options.keys() - (accepted.keys() - given.keys()):
        raise ValueError(
            f'decoder_options of {decoder} must be among {", ".join(name for name in accepted if name not in given)}; '
            f'got {", ".join(sorted(unknown))}.'
        )
    arguments = {'decoder_channels': WIDTHS[:depth][::-1], **spec.options, **options, **given}
    network = spec.network(**{name: value for name, value in arguments.items() if name in accepted})
    if isinstance(network, DeepLabV3PlusDecoder):  # its output_stride knows 8 and 16 alone
        network.up.scale_factor = 2.0 ** (depth - 2)  # from the coarsest map to stride 4
    initialize_decoder(network)
    return network


def _out_channels(network: nn.Module, channels_at: Mapping[int, int], all_strides: list[int]) -> int:
    """Channels that a decoder returns, asked of itself by tensors without data."""
    cells = 8 * all_strides[-1]
    maps = [
        torch.empty(1, channels_at.get(stride, 0), cells // stride, cells // stride, device='meta')
        for stride in all_strides
    ]
    return deepcopy(network).to('meta').eval()(maps).shape[1]


def _ceil_div(length: int, stride: int) -> int:
    return -(-length // stride)
