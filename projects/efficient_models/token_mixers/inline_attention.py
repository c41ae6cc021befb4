"""InLine attention: linear attention with the two properties that set softmax attention apart.

Paper: https://arxiv.org/abs/2412.06590, Bridging the Divide: Reconsidering Softmax and Linear Attention
Code: https://github.com/LeapLabTHU/InLine
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count
from ..layers.precision import in_float32
from .token_mixer import Mechanism, MultiHeadMixer


class InLineAttention(MultiHeadMixer):
    """Linear attention normalised by subtraction; a 3x3 kernel for each image and channel is added.

    Note:
        Scores are not normalised, and so the output grows with the cube of the input: float16 ends where normalised
        inputs are 100 times as large.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels d of each head. What predicts the kernels has 10 d weights for each channel; the authors have
            32 channels in a head, and at least 64 in all.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='InLine attention',
        design='complexity',
        idea='Reordering',
        reads='summary',
        formula='Q (Kᵀ V) / N√d + (1 − Q mean(K)ᵀ / √d) mean(V) + conv(V), 3 × 3 kernels from mean(X)',
        cost='N d',
        source='https://arxiv.org/abs/2412.06590',
    )

    def __init__(self, channels: Count, head_dim: Count = 16) -> None:
        super().__init__(channels, head_dim)
        self.residual = nn.Sequential(
            nn.Conv2d(channels, channels, 1, groups=self.num_heads),
            nn.GELU(),
            nn.Conv2d(channels, 9 * channels, 1, groups=self.num_heads),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value = self.qkv(x).chunk(3, dim=1)
        attended = in_float32(self._attend)(query, key, value)
        kernels = self.residual(x.mean(dim=(2, 3), keepdim=True))
        return self.proj(self.to_map(attended, x) + convolve_each(value, kernels))

    def macs(self, height: int, width: int) -> int:
        tokens = height * width
        predicted = 10 * self.channels * self.head_dim  # once for each image
        return tokens * self.channels * (4 * self.channels + 2 * self.head_dim + 1 + 9) + predicted

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Return linear attention to tokens, whose weights sum up to 1 and may be negative."""
        tokens = value.shape[2] * value.shape[3]
        query, key, value = map(self.to_tokens, (query * self.head_dim**-0.5, key, value))
        mean_key, mean_value = key.mean(dim=2, keepdim=True), value.mean(dim=2, keepdim=True)
        gathered = key.transpose(2, 3) @ value / tokens
        return query @ gathered + (1 - query @ mean_key.transpose(2, 3)) * mean_value


def convolve_each(x: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Convolve each channel of each image with a 3x3 kernel of its own; outside the map is zero.

    Args:
        x: Shape (B, C, H, W).
        kernels: Shape (B, 9 * C, 1, 1).
    """
    batch, channels, height, width = x.shape
    if batch and not torch.jit.is_tracing():
        images = x.reshape(1, batch * channels, height, width)
        return F.conv2d(images, kernels.reshape(-1, 1, 3, 3), padding=1, groups=batch * channels).view_as(x)
    # the groups of an exported convolution cannot follow the number of images, nor can there be none
    padded = F.pad(x, (1, 1, 1, 1))
    shifted = [padded[:, :, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    products = kernels.unflatten(1, (channels, 9)).flatten(2)[:, :, None] @ torch.stack(shifted, dim=2).flatten(3)
    return products.flatten(2).unflatten(2, (height, width))
