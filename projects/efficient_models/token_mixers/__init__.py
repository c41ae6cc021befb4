"""Token mixers: one file per class of attention mechanism."""

from difflib import get_close_matches
from typing import Any

from .additive_attention import AdditiveAttention
from .agent_attention import AgentAttention
from .cascaded_group_attention import CascadedGroupAttention
from .channel_attention import ChannelAttention
from .conv_additive_attention import ConvAdditiveAttention
from .convolution import Convolution, Pooling
from .cross_covariance_attention import CrossCovarianceAttention
from .cross_scale_attention import CrossScaleAttention
from .deformable_attention import DeformableAttention
from .dual_attention import DualAttention
from .efficient_attention import EfficientAttention
from .efficient_modulation import EfficientModulation
from .extra_tokens import ExtraTokens
from .focal_modulation import FocalModulation
from .focused_linear_attention import FocusedLinearAttention
from .inline_attention import InLineAttention
from .neighborhood_attention import NeighborhoodAttention
from .nystrom_attention import NystromAttention
from .rala import RALA
from .relu_linear_attention import ReLULinearAttention
from .single_head_attention import SingleHeadAttention
from .softmax_attention import SoftmaxAttention
from .spatial_reduction_attention import SpatialReductionAttention
from .token_merging import TokenMerging
from .token_mixer import DESIGNS, READS, Mechanism, TokenMixer
from .window_attention import WindowAttention

TOKEN_MIXERS: dict[str, type[TokenMixer]] = {
    'softmax': SoftmaxAttention,
    # self-attention complexity reduction
    'window': WindowAttention,
    'neighborhood': NeighborhoodAttention,
    'cascaded_group': CascadedGroupAttention,
    'nystrom': NystromAttention,
    'single_head': SingleHeadAttention,
    'efficient': EfficientAttention,
    'relu_linear': ReLULinearAttention,
    'focused_linear': FocusedLinearAttention,
    'inline': InLineAttention,
    'rala': RALA,
    'cross_covariance': CrossCovarianceAttention,
    # hierarchical
    'spatial_reduction': SpatialReductionAttention,
    'cross_scale': CrossScaleAttention,
    # channel and spatial
    'channel': ChannelAttention,
    'dual': DualAttention,
    # rethinking tokenization
    'agent': AgentAttention,
    'extra_tokens': ExtraTokens,
    'token_merging': TokenMerging,
    # other
    'focal_modulation': FocalModulation,
    'efficient_modulation': EfficientModulation,
    'deformable': DeformableAttention,
    'convolution': Convolution,
    'pool': Pooling,
    'additive': AdditiveAttention,
    'conv_additive': ConvAdditiveAttention,
}


def build_token_mixer(name: str, channels: int, /, **options: Any) -> TokenMixer:
    """Build a token mixer.

    Args:
        name: A key of `TOKEN_MIXERS`.
        channels: Channels of input and output.
        options: The mixer's own.

    Raises:
        ValueError: If there is no such mixer, it has no such option, or it refuses the channels or an option's value.
    """
    if not isinstance(name, str) or name not in TOKEN_MIXERS:
        close = get_close_matches(str(name), TOKEN_MIXERS, n=1)
        hint = f' Did you mean {close[0]}?' if close else ''
        raise ValueError(f'there is no token mixer {name!r}.{hint} There are {", ".join(TOKEN_MIXERS)}.')
    return TOKEN_MIXERS[name](channels, **options)


__all__ = ['DESIGNS', 'READS', 'TOKEN_MIXERS', 'Mechanism', 'TokenMixer', 'build_token_mixer']
