"""From a building's box, roof and features to the offset of the roof from the footprint, and to the height."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from projects.training.heads import mean_over_processes

from ..height_classes import HeightClasses

QUARTERS = 4
OFFSET_BETA = 0.05  # of the square root of the box's area: smaller errors count by their square
HEIGHT_BETA = 0.1  # of log(1 + metres)
EVIDENCE = 8.0  # a building counts exp(16) times as much as another at most
LOG_HEIGHTS = (0.0, 7.0)  # of log(1 + metres): up to 1 km
SPREADS = (0.05, 2.0)  # of the logistic distribution of log(1 + metres)


@MODELS.register_module()
class OffsetHeightHead(BaseModule):
    """Convolutions and a layer that are shared by the four quarter turns of the features, and two outputs.

    LOFT-FOA (Wang et al., arXiv 2204.13637, github.com/jwwangchn/BONAI) sees the features turned by four angles with
    ten convolutions of its own for each, 37 million parameters. Here all turns share their weights, and what is found
    is turned back and averaged: features that are turned by a quarter give the offset turned by a quarter, exactly, and
    the same height.

    Offsets are encoded as o / sqrt(w h) of the box, alike in both directions. RoIAlign shows a box of w x h as a
    square, in which the vector has the components o_x / w and o_y / h: what the layers say is brought from there by the
    factors sqrt(w / h) and sqrt(h / w), which pixels in a square do not show.

    What box and roof say by themselves is where the layers begin: the box holds roof and footprint, which are alike, so
    that the roof leaves free on one side of the box what it leans to the other (`seen_offset`). The layers add what
    that misses, of buildings that are hidden, cut by the image's border or have several tiers; they see the roof, too.

    Of the height they say the logistic distribution of z = log(1 + metres), its middle and its spread. The probability
    of each class is what lies between its limits, so that classes and metres agree: an ordinal model, whose limits
    (proportional odds, McCullagh, doi:10.1111/j.2517-6161.1980.tb01109.x) are those of `HeightClasses`. Absolute sizes
    are lost in RoIAlign, hence the box's goes into the layer before.

    A camera far away sees all heights alike: offset = height x lean, with one lean for the image (`along_common_lean`).
    Single offsets are hard to see, heights are not, and what all buildings say of the lean together is surer than what
    any says of its own offset: of what is not seen, the likeliest offset is a short one. So this consensus is learned,
    too, by a loss of its own, and with it how much each building knows of the lean: its `evidence`.

    Args:
        in_channels: Of the features.
        conv_channels: Of the two 3 x 3 convolutions.
        fc_channels: Of the layer after them.
        roi_feat_size: Side of the features.
        mask_size: Side of the roofs' masks, a multiple of it.
        limits_m: Between the classes of height; None: those of `HeightClasses`.
        offset_weight: Of SmoothL1 between encoded offsets, summed over x and y.
        lean_weight: Likewise of offsets by the common lean.
        height_weight: Of SmoothL1 between z.
        class_weight: Of the cross-entropy of the class.
    """

    def __init__(
        self,
        in_channels: int = 256,
        conv_channels: int = 128,
        fc_channels: int = 256,
        roi_feat_size: int = 7,
        mask_size: int = 28,
        limits_m: Sequence[float] | None = None,
        offset_weight: float = 4.0,
        lean_weight: float = 4.0,
        height_weight: float = 1.0,
        class_weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            ConvModule(in_channels + 1, conv_channels, 3, padding=1),
            ConvModule(conv_channels, conv_channels, 3, padding=1),
        )
        self.mask_cells = mask_size // roi_feat_size
        self.fc = nn.Linear(conv_channels * roi_feat_size**2, fc_channels)
        self.offset = nn.Linear(fc_channels, 2)
        self.height = nn.Linear(fc_channels + 1, 2)
        self.evidence = nn.Linear(fc_channels + 1, 1)
        limits = HeightClasses().limits_m if limits_m is None else tuple(limits_m)
        self.classes = HeightClasses(limits, tuple(map(str, range(len(limits) + 1))))
        self.weights = {
            'offset': offset_weight,
            'lean': lean_weight,
            'height': height_weight,
            'height_class': class_weight,
        }
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)
        nn.init.zeros_(self.evidence.weight)
        nn.init.zeros_(self.evidence.bias)
        nn.init.normal_(self.height.weight, std=0.01)
        self.height.bias.data.copy_(torch.tensor([math.log1p(10), 0.0]))

    def forward(self, features: Tensor, roofs: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is said of each box.

        Args:
            features: (N, C, S, S) of RoIAlign.
            roofs: (N, M, M) probabilities of the roof in the box, which get no gradient.
            boxes: (N, 4) left, top, right, bottom in pixels.

        Returns:
            (N, 2) encoded offsets, (N,) z = log(1 + height in metres), (N,) its spread, (N,) evidence of the lean, as
            the logarithm of a weight; in float32.
        """
        roofs = roofs.detach()
        pooled = F.avg_pool2d(roofs[:, None], self.mask_cells).to(features.dtype)
        turned = [torch.cat((features, pooled), 1)]
        while len(turned) < QUARTERS:
            turned.append(turned[-1].transpose(2, 3).flip(2))  # `torch.rot90`, which ONNX has not
        hidden = F.relu(self.fc(self.convs(torch.cat(turned)).flatten(1))).unflatten(0, (QUARTERS, -1))
        x, y = self.offset(hidden).float().unbind(-1)  # (4, N) each
        # counterclockwise by a quarter, (x, y) becomes (y, -x); here is the way back
        added = torch.stack((x[0] - y[1] - x[2] + y[3], y[0] + x[1] - y[2] - x[3]), -1) / QUARTERS
        square = seen_offset(roofs.float()) + added
        width, height = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1.0).unbind(-1)
        aspect = (width / height).sqrt()
        size = (width * height).log() / 2
        seen = torch.cat((hidden.mean(0), size[:, None].to(hidden.dtype)), 1)
        z, spread = self.height(seen).float().unbind(-1)
        evidence = self.evidence(seen).float()[:, 0].clamp(-EVIDENCE, EVIDENCE)
        encoded = square * torch.stack((aspect, 1 / aspect), -1)
        return encoded, z.clamp(*LOG_HEIGHTS), F.softplus(spread).clamp(*SPREADS), evidence

    def decode(self, encoded: Tensor, z: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 2) offsets in pixels and (N,) heights in metres, of each box by itself; see `forward`."""
        return encoded * _side(boxes), z.exp() - 1

    def decode_together(
        self,
        encoded: Tensor,
        z: Tensor,
        evidence: Tensor,
        boxes: Tensor,
        scores: Tensor,
        images: Tensor,
        number: int,
    ) -> tuple[Tensor, Tensor]:
        """As `decode`, but with the offsets of `along_common_lean`, by scores (N,) times exp(evidence)."""
        offsets, heights_m = self.decode(encoded, z, boxes)
        return along_common_lean(offsets, heights_m, scores * evidence.exp(), images, number), heights_m

    def class_probabilities(self, z: Tensor, spread: Tensor) -> Tensor:
        """(N, K) of the classes of height, lowest first; see the class."""
        limits = torch.tensor(self.classes.limits_m, device=z.device).log1p()
        below = torch.sigmoid((limits - z[:, None]) / spread[:, None])
        return torch.diff(F.pad(F.pad(below, (1, 0), value=0.0), (0, 1), value=1.0))

    def loss(
        self, features: Tensor, roofs: Tensor, rois: Tensor, offsets: Tensor, heights_m: Tensor
    ) -> dict[str, Tensor]:
        """Means over what is known, in all processes together; what is unknown (NaN) has no part in them.

        Args:
            features: (N, C, S, S).
            roofs: (N, M, M) probabilities.
            rois: (N, 5) image, from 0 on, and proposal.
            offsets: (N, 2) pixels, NaN is unknown.
            heights_m: (N,) metres, NaN is unknown.

        Returns:
            `loss_offset`, `loss_lean`, `loss_height` and `loss_height_class`.
        """
        boxes, images = rois[:, 1:], rois[:, 0].long()
        encoded, z, spread, evidence = self(features, roofs, boxes)
        number = int(images.max()) + 1 if len(images) else 1
        together, _ = self.decode_together(encoded, z, evidence, boxes, torch.ones_like(z), images, number)
        known, tall = offsets.isfinite().all(1), heights_m.isfinite()
        targets = (offsets / _side(boxes))[known]
        probabilities = self.class_probabilities(z[tall], spread[tall])
        indices = torch.from_numpy(self.classes.index(heights_m[tall].cpu().numpy())).to(z.device)
        losses = {
            'offset': F.smooth_l1_loss(encoded[known], targets, reduction='sum', beta=OFFSET_BETA),
            'lean': F.smooth_l1_loss((together / _side(boxes))[known], targets, reduction='sum', beta=OFFSET_BETA),
            'height': F.smooth_l1_loss(z[tall], heights_m[tall].log1p(), reduction='sum', beta=HEIGHT_BETA),
            'height_class': -probabilities.gather(1, indices[:, None]).clamp(min=1e-6).log().sum(),
        }
        numbers = {'offset': known.sum(), 'lean': known.sum(), 'height': tall.sum(), 'height_class': tall.sum()}
        return {
            f'loss_{name}': self.weights[name] * loss / mean_over_processes(numbers[name].item(), loss)
            for name, loss in losses.items()
        }


def along_common_lean(offsets: Tensor, heights_m: Tensor, weights: Tensor, images: Tensor, number: int) -> Tensor:
    """Offsets as a camera far away sees them: height x lean, of which each image has one.

    The lean, tan(off-nadir angle) / ground sample distance along the line of sight (parallel projection), is the sum of
    offsets over that of heights, by weights: tall buildings, which know it better, count by their height.

    Args:
        offsets: (N, 2) pixels.
        heights_m: (N,) metres.
        weights: (N,) such as scores, not negative.
        images: (N,) index of the image of each.
        number: Of images.

    Returns:
        (N, 2) pixels.
    """
    own = (images[:, None] == torch.arange(number, device=images.device)).to(offsets.dtype)[..., None]  # (N, images, 1)
    known = weights[:, None] * torch.cat((offsets, heights_m[:, None]), 1)
    sums = (own * known[:, None]).sum(0)  # no matrix product: autocast would give it 16 bits, which cannot hold it
    lean = sums[:, :2] / sums[:, 2:].clamp(min=1e-3)
    return heights_m[:, None] * (own * lean).sum(1)


def seen_offset(roofs: Tensor) -> Tensor:
    """Offset that a roof shows by where it lies in a box that holds it and its footprint, and no more.

    To the right it is the width that the roof leaves free on the left, less that on the right; downwards likewise. The
    width is the expected number of columns before the first with roof; a column has as much as its surest pixel,
    nothing below a quarter and all above three quarters.

    Args:
        roofs: (N, M, M) probabilities of roof inside of the box.

    Returns:
        (N, 2) shares of the box's width and height.
    """
    sure = ((roofs - 0.25) * 2).clamp(0, 1)
    free = []
    for line in (sure.amax(1), sure.amax(2)):  # columns, rows
        before, behind = ((1 - side).clamp(min=1e-6).log().cumsum(1).exp().mean(1) for side in (line, line.flip(1)))
        free.append(before - behind)
    return torch.stack(free, -1)


def _side(boxes: Tensor) -> Tensor:
    """(N, 1) square root of the area of boxes (N, 4), at least a pixel."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=1.0).prod(1, keepdim=True).sqrt()
