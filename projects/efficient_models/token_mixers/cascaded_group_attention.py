"""Cascaded group attention inside windows, of EfficientViT (MSRA).

Paper: https://arxiv.org/abs/2305.07027
"""

from typing import ClassVar

import torch

from ..backbones.efficientvit_msra import QK_DIM, WINDOW_SIZE, LocalWindowAttention
from ..layers.options import Count, OddCounts
from .token_mixer import Mechanism, TokenMixer


class CascadedGroupAttention(TokenMixer):
    """`LocalWindowAttention` of the backbone EfficientViTMSRA.

    Args:
        channels: Channels of input and output, a multiple of the number of heads.
        kernels: Side of the depthwise convolution on the queries of each head; by default those of the variant M4.

    Raises:
        ValueError: If the channels cannot be shared by as many heads as there are kernels, or an option is of a wrong
            kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Cascaded group attention',
        design='complexity',
        idea='Windowing',
        reads='near',
        formula='Y_i = softmax(Q_i K_iᵀ / √d + B) V_i of X_i + Y_(i-1), in windows of w × w',
        cost='N w²',
        source='https://arxiv.org/abs/2305.07027',
    )

    def __init__(self, channels: Count, kernels: OddCounts = (7, 5, 3, 3)) -> None:
        super().__init__(channels)
        if channels % len(kernels):
            raise ValueError(
                f'kernels of CascadedGroupAttention must be as many as can share its {channels} channels, one for each '
                f'head, got {len(kernels)}: {list(kernels)}.'
            )
        self.kernels = tuple(kernels)
        self.attn = LocalWindowAttention(channels, self.kernels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.attn(x)

    def macs(self, height: int, width: int) -> int:
        tokens, head_dim = self._windows(height, width) * WINDOW_SIZE**2, self.channels // len(self.kernels)
        projections = len(self.kernels) * head_dim * (2 * QK_DIM + head_dim) + self.channels**2
        convolutions = sum(QK_DIM * kernel**2 for kernel in self.kernels)
        attention = len(self.kernels) * WINDOW_SIZE**2 * (QK_DIM + head_dim)
        return tokens * (projections + convolutions + attention)

    def num_scores(self, height: int, width: int) -> int:
        return self._windows(height, width) * WINDOW_SIZE**4  # one head after another

    def _windows(self, height: int, width: int) -> int:
        return -(-height // WINDOW_SIZE) * -(-width // WINDOW_SIZE)
