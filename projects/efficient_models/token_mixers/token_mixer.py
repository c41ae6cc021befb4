"""What every token mixer of this package offers, written once."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count, checks_options

HEAD_DIM = 32  # channels of a head where a mixer's authors say nothing else


@dataclass(frozen=True)
class Mechanism:
    """Where a mixer stands in the review of efficient attention (https://arxiv.org/abs/2403.19882), and what it costs.

    Attributes:
        title: For people.
        design: Its class by design, a key of `DESIGNS`.
        idea: Its branch in that class, in the review's words.
        reads: What each position takes from, a key of `READS`.
        formula: Of what it computes for a head, with the notation of this package's page.
        cost: How multiply-adds grow with the number of tokens N.
        source: Address of the paper.
        is_quadratic: Whether scores are kept for pairs of tokens, so that memory grows with N².
    """

    title: str
    design: str
    idea: str
    reads: str
    formula: str
    cost: str
    source: str
    is_quadratic: bool = False

    def __post_init__(self) -> None:
        if self.design not in DESIGNS:
            raise ValueError(f'no class of the review is called {self.design!r}; expected one of {list(DESIGNS)}.')
        if self.reads not in READS:
            raise ValueError(f'a position does not read {self.reads!r}; expected one of {list(READS)}.')


DESIGNS = {
    'reference': 'Softmax attention, which the others are measured by',
    'complexity': 'Self-attention complexity reduction',
    'hierarchical': 'Hierarchical transformers',
    'channel_spatial': 'Channel and spatial transformers',
    'tokenization': 'Rethinking tokenization',
    'other': 'Other: modulation, convolution, deformable',
}
READS = {
    'all': 'All positions, pair by pair',
    'near': 'Positions near by',
    'near_and_all': 'Positions near by, and a mean or a gate of all',
    'fewer': 'Fewer tokens, which stand for all positions',
    'chosen': 'Positions that it chooses',
    'summary': 'One summary of all positions: products in another order',
    'channels': 'Other channels, over all positions',
}


class TokenMixer(nn.Module):
    """Base class of all token mixers.

    A mixer maps (B, C, H, W) to the same shape, at any size of at least 1x1, for any number of images and in any
    precision; nothing in it depends on the size of the map. Residual connection, normalisation and position encoding
    are outside. What its options may be stands in the signature of its `__init__`, and is checked before that runs.

    Args:
        channels: Channels of input and output.

    Attributes:
        mechanism: What it is.

    Raises:
        ValueError: If there is no such option, its value is of a wrong kind or out of range, or the mixer refuses it
            beside others; in use, if a map has other channels. Each is said in one sentence.
    """

    mechanism: ClassVar[Mechanism]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if '__init__' in vars(cls):
            cls.__init__ = checks_options(cls.__init__)  # type: ignore[method-assign]

    @checks_options
    def __init__(self, channels: Count) -> None:
        super().__init__()
        self.channels = channels

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape, if these are the mixer's channels."""
        if not torch.jit.is_tracing() and (x.dim() != 4 or x.shape[1] != self.channels):
            raise ValueError(
                f'a map of {type(self).__name__} must be (B, {self.channels}, H, W), got {tuple(x.shape)}.'
            )
        return super().__call__(x)

    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""

    @abstractmethod
    def macs(self, height: int, width: int) -> int:
        """Multiply-adds of one image: those of convolutions, linear layers and products of two activations.

        Args:
            height: Rows of the map.
            width: Columns of the map.
        """

    def num_scores(self, height: int, width: int) -> int:
        """Scores that exist at once for one image, in all heads together; 0 where none exist.

        An exported graph keeps all of them in memory, as eager PyTorch does wherever it has no fused attention.

        Args:
            height: Rows of the map.
            width: Columns of the map.
        """
        del height, width
        return 0


class HeadedMixer(TokenMixer):
    """Base of mixers whose channels are shared by heads.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM) -> None:
        super().__init__(channels)
        self.head_dim = head_dim
        self.num_heads = split_heads(type(self).__name__, channels, head_dim)

    def to_tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to tokens of each head, (B, heads, H * W, head_dim)."""
        return x.flatten(2).unflatten(1, (self.num_heads, -1)).transpose(2, 3)

    def to_map(self, tokens: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Undo `to_tokens`, for a map of the height and width of `x`."""
        return tokens.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:])


class MultiHeadMixer(HeadedMixer):
    """Base of mixers whose heads read queries, keys and values from one 1x1 convolution; another mixes their outputs.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM) -> None:
        super().__init__(channels, head_dim)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)


def attend_pairs(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Return softmax(Q Kᵀ / √d + mask) V without keeping scores, where PyTorch can.

    Its fused kernels want the channels of a token side by side, which they are not in a map; without that, it computes
    and keeps all scores, in six times the time for 4,096 tokens on a CPU.

    Args:
        query: Shape (B, heads, N, d).
        key: Shape (B, heads, M, d).
        value: As `key`.
        mask: Added to the scores or, of booleans, which of them count; broadcast to (B, heads, N, M).
    """
    return F.scaled_dot_product_attention(query.contiguous(), key.contiguous(), value.contiguous(), attn_mask=mask)


def split_heads(mixer: str, channels: int, head_dim: int) -> int:
    """Return how many heads share the channels.

    Raises:
        ValueError: If they cannot.
    """
    if channels % head_dim:
        raise ValueError(f'head_dim of {mixer} must divide its {channels} channels, got {head_dim}.')
    return channels // head_dim
