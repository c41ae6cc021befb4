"""The first step of every graph: images as the network wants them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ImageGraph(nn.Module):
    """A graph that takes images (B, H, W, 3), uint8, RGB.

    Args:
        model: A segmentor of mmseg or a detector of mmdet.
        mean: Of red, green and blue, 0 to 255.
        std: What to divide by.
        size_divisor: Images are padded with zeros, below and to the right, to a multiple of it, as mmdet does.
    """

    mean: Tensor
    std: Tensor
    output_names: tuple[str, ...]

    def __init__(self, model: Any, mean: tuple, std: tuple, size_divisor: int) -> None:
        super().__init__()
        self.backbone, self.neck = model.backbone, model.neck if model.with_neck else None
        self.size_divisor = size_divisor
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def extract_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps of the neck, or of the backbone if there is none."""
        x = (images.permute(0, 3, 1, 2).to(self.mean.dtype) - self.mean) / self.std
        if self.size_divisor > 1:
            height, width = x.shape[-2:]
            x = F.pad(x, (0, -width % self.size_divisor, 0, -height % self.size_divisor))
        features = self.backbone(x)
        return features if self.neck is None else self.neck(features)

    def regions(self, images: Tensor) -> tuple[Tensor, Tensor] | None:
        """What later steps of a network look at that earlier ones choose; None for networks of one stage.

        Args:
            images: As for `forward`.
        """
        return None

    def head_outputs(self, images: Tensor, regions: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """What the heads say, before anything is chosen or rounded to boxes and classes.

        Args:
            images: As for `forward`; of float, too, for gradients.
            regions: Of this network or of one that it is compared with.

        Returns:
            Logits and box deltas by name.
        """
        raise NotImplementedError
