"""Segmentors: from images to probabilities or labels."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .free_sizes import free_sizes
from .images import ImageGraph

CELLS, PIXELS = 'cells', 'pixels'  # what labels are found for
MOST = 256  # whole numbers that bfloat16 tells apart


class SegmentationGraph(ImageGraph):
    """mmseg's EncoderDecoder over whole images.

    Args:
        model: An EncoderDecoder.
        output: 'probabilities' (B, C, H, W) float32, or 'labels' (B, H, W), uint8 (int32 beyond 256 classes), or
            'logits' (B, h, w, C) float32 at the head's own scale, which `FullSizeSession` resizes.
        threshold: Of a network with one logit.
        is_fixed: Whether all images have one size.
        images: See `ImageGraph`.

    Attributes:
        by_maximum: For which of `CELLS` and `PIXELS` to look for the largest logit first and for its class then, where
            a runtime takes longer for its own ArgMax: OpenVINO does, but for pixels in bfloat16.
    """

    by_maximum: tuple[str, ...] = ()

    def __init__(self, model: Any, output: str, threshold: float | None, is_fixed: bool = False, **images: Any) -> None:
        super().__init__(model, **images)
        self.decode_head, self.threshold, self.is_fixed = model.decode_head, threshold, is_fixed
        free_sizes(self.decode_head)
        self.output_names = (output,)
        if output == 'logits' and self.decode_head.align_corners:
            raise ValueError(
                f'{type(self.decode_head).__name__} aligns corners, which labels of logits are not found for: choose '
                'another --output'
            )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.extract_features(images)
        height, width = images.shape[1:3]
        size = (_padded(height, self.size_divisor), _padded(width, self.size_divisor))
        logits = self.decode_head(features)
        if self.output_names == ('logits',):
            return (logits.permute(0, 2, 3, 1).float(),)
        if self.output_names == ('labels',) and (scale := self._whole_scale(logits, size)):
            labels = labels_by_cells(logits.float(), scale, CELLS in self.by_maximum)
            return (labels[:, :height, :width].to(_label_type(logits)),)
        logits = F.interpolate(logits, size, mode='bilinear', align_corners=self.decode_head.align_corners).float()
        if self.size_divisor > 1:
            logits = logits[..., :height, :width]
        if self.output_names == ('probabilities',):
            return (logits.sigmoid() if self.threshold is not None else logits.softmax(1),)
        if self.threshold is not None:
            return ((logits[:, 0].sigmoid() > self.threshold).to(torch.uint8),)
        return (_place_of_maximum(logits, 1, PIXELS in self.by_maximum).to(_label_type(logits)),)

    def head_outputs(self, images: Tensor, regions: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits `cls` (B, C, h, w) at the head's own scale."""
        return {'cls': self.decode_head(self.extract_features(images))}

    def _whole_scale(self, logits: Tensor, size: tuple[Any, Any]) -> int:
        """By how many times images are larger than logits of several classes; 0: not known, or no whole number.

        `torch.compile` would compile anew for each number of cells that are resized.
        """
        is_unknown = (torch.jit.is_tracing() and not self.is_fixed) or torch.compiler.is_compiling()
        if is_unknown or self.threshold is not None or self.decode_head.align_corners:
            return 0
        down, across = (int(large) / int(small) for large, small in zip(size, logits.shape[2:], strict=True))
        return int(down) if down == across and down.is_integer() and down > 1 else 0


def labels_by_cells(logits: Tensor, scale: int, by_maximum: bool) -> Tensor:
    """The class of the largest of logits that are resized bilinearly, corners not aligned: `interpolate(…).argmax(1)`.

    Between four neighbours of one class all pixels are of it, as each is a weighted mean: only cells between neighbours
    of different classes are resized.

    Args:
        logits: (B, C, h, w).
        scale: Pixels of each cell in a row, 2 or more.
        by_maximum: See `SegmentationGraph`.

    Returns:
        (B, h * scale, w * scale), of any number type.
    """
    batch_size, classes, height, width = logits.shape
    samples = logits.permute(0, 2, 3, 1).reshape(-1, classes)
    best = _place_of_maximum(samples, 1, by_maximum).to(torch.int32)
    rows, columns = (torch.arange(-1, side + 1, device=logits.device).clamp(0, side - 1) for side in (height, width))
    images = torch.arange(batch_size, device=logits.device)[:, None, None]
    places = (images * height + rows[:, None]) * width + columns  # of samples, beyond the border those at it
    corners = [places[:, i : i + height + 1, j : j + width + 1].flatten() for i in (0, 1) for j in (0, 1)]
    first, *others = (best[corner] for corner in corners)
    cells = torch.stack([first != other for other in others]).any(0).nonzero()[:, 0]
    a, b, c, d = (samples[corner[cells]] for corner in corners)
    share = ((torch.arange(scale, device=logits.device) + scale // 2 + 0.5) / scale - 0.5)[
        :, None
    ]  # of the next sample
    above, below = (left[:, None] * (1 - share) + right[:, None] * share for left, right in ((a, b), (c, d)))
    share = share[:, None]
    pixels = above[:, None] * (1 - share) + below[:, None] * share  # (K, scale, scale, C)
    found = _place_of_maximum(pixels, 3, by_maximum).to(torch.int32)
    labels = first[:, None, None].expand(-1, scale, scale).index_put((cells,), found)
    labels = labels.reshape(batch_size, height + 1, width + 1, scale, scale).permute(0, 1, 3, 2, 4)
    labels = labels.reshape(batch_size, (height + 1) * scale, (width + 1) * scale)
    before = scale - scale // 2
    return labels[:, before : before + height * scale, before : before + width * scale]


def _place_of_maximum(logits: Tensor, dim: int, by_maximum: bool) -> Tensor:
    """`argmax(dim)`, of up to 256 `by_maximum` without an ArgMax; of equal ones the first."""
    number = logits.shape[dim]
    if not by_maximum or number > MOST:
        return logits.argmax(dim)
    falling = torch.arange(number, 0, -1, dtype=logits.dtype, device=logits.device)
    falling = falling.view(-1, *[1] * (logits.dim() - dim - 1))
    is_largest = logits >= logits.amax(dim, keepdim=True)
    return number - torch.where(is_largest, falling, torch.zeros_like(falling)).amax(dim)


def _label_type(logits: Tensor) -> torch.dtype:
    return torch.uint8 if logits.shape[1] <= 256 else torch.int32


def _padded(size: int, divisor: int) -> int:
    return size + -size % divisor if divisor > 1 else size
