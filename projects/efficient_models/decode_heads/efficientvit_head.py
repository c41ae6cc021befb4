"""The segmentation head of EfficientViT (MIT).

Paper: https://arxiv.org/abs/2205.14756
Code: https://github.com/mit-han-lab/efficientvit, `SegHead` (Apache-2.0 licence)
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import nn
from torch.nn import functional as F

from ..checkpoint_keys import accept_foreign_keys
from ..layers.mbconv import (
    ConvNormAct,
    FusedMBConv,
    GELUTanh,
    HardSwish,
    MBConv,
    ResidualBlock,
    set_norm_eps,
)

ACTIVATIONS = {'hswish': HardSwish, 'gelu': GELUTanh}
BLOCKS = {'mbconv': MBConv, 'fmbconv': FusedMBConv}


@MODELS.register_module()
class EfficientViTHead(BaseDecodeHead):
    """Sum of all inputs at the resolution of the finest, refined by inverted bottlenecks.

    Each input passes through a 1x1 convolution, and the coarser ones are enlarged by bicubic interpolation. Published
    for strides 8, 16 and 32 with these arguments:

    | backbone    | data set   | head_width   | head_depth | expand_ratio | block   | final_expand | act    |
    |-------------|------------|--------------|------------|--------------|---------|--------------|--------|
    | b0          | Cityscapes | 32           | 1          | 4            | mbconv  | 4            | hswish |
    | b1, b2, b3  | Cityscapes | 64, 96, 128  | 3          | 4            | mbconv  | 4            | hswish |
    | b1, b2, b3  | ADE20K     | 64, 96, 128  | 3          | 4            | mbconv  | None         | hswish |
    | l1, l2      | Cityscapes | 256          | 3, 5       | 1            | fmbconv | None         | gelu   |
    | l1, l2      | ADE20K     | 128          | 3          | 4            | fmbconv | 8            | gelu   |

    with `norm_eps=1e-7` for l1 and l2.

    The authors' checkpoints hold backbone and head. Load them with `pretrained='b1.pt'` in the backbone and
    `init_cfg=dict(type='Pretrained', checkpoint='b1.pt', prefix='head.')` here.

    Note:
        The authors enlarge by whole factors, which fails where a side of the image is not a multiple of the coarsest
        stride. Here inputs are enlarged to the size of the finest one; for multiples, that is the same.

    Args:
        in_channels: Channels of the inputs, finest first.
        in_index: Increasing indices of the inputs among the backbone's maps.
        head_width: Channels of the sum.
        head_depth: Number of inverted bottlenecks.
        expand_ratio: Their expansion.
        block: Their kind: 'mbconv', with a depthwise convolution, or 'fmbconv', with a full one.
        final_expand: Channels that are classified, as a multiple of `head_width`; None classifies the bottlenecks'
            output itself.
        act: The activation, 'hswish' or 'gelu' (approximated by tanh).
        norm_eps: What keeps the batch normalisation from dividing by zero.
        dropout_ratio: Probability of dropping a channel before it is classified; the authors' default is 0.
        **kwargs: `num_classes`, `loss_decode`, `ignore_index` and others of mmseg's `BaseDecodeHead`.

    Raises:
        ValueError: If `block` or `act` is unknown, or the inputs are not listed finest first.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_index: Sequence[int],
        head_width: int,
        head_depth: int,
        expand_ratio: int = 4,
        block: Literal['mbconv', 'fmbconv'] = 'mbconv',
        final_expand: int | None = None,
        act: Literal['hswish', 'gelu'] = 'hswish',
        norm_eps: float = 1e-5,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        for name, value, accepted in (('block', block, BLOCKS), ('act', act, ACTIVATIONS)):
            if value not in accepted:
                raise ValueError(f'{name} of EfficientViTHead must be one of {", ".join(accepted)}, got {value!r}.')
        if len(in_channels) != len(in_index) or list(in_index) != sorted(set(in_index)):
            raise ValueError(
                'EfficientViTHead takes its inputs finest first: in_index must increase and have one index for each '
                f'of in_channels, got in_index={tuple(in_index)} and in_channels={tuple(in_channels)}.'
            )
        super().__init__(
            list(in_channels),
            head_width * (final_expand or 1),
            in_index=list(in_index),
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            **kwargs,
        )
        activation = ACTIVATIONS[act]
        self.input_convs = nn.ModuleList(ConvNormAct(channels, head_width) for channels in in_channels)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(BLOCKS[block](head_width, head_width, 1, expand_ratio, activation))
                for _ in range(head_depth)
            )
        )
        self.final_conv = (
            ConvNormAct(head_width, self.channels, act=activation) if final_expand is not None else nn.Identity()
        )
        set_norm_eps(self, norm_eps)
        accept_foreign_keys(self, self.renamed_prefixes())

    def renamed_prefixes(self) -> dict[str, str]:
        """Return our key prefix for each one of the authors', who list the inputs coarsest first."""
        finest, *coarser = reversed(range(len(self.input_convs)))
        prefixes = {f'input_ops.{finest}.': 'input_convs.0.'}
        for own, theirs in enumerate(coarser, start=1):
            prefixes[f'input_ops.{theirs}.op_list.0.'] = f'input_convs.{own}.'
        prefixes['middle.op_list.'] = 'blocks.'
        if not isinstance(self.final_conv, nn.Identity):
            prefixes['output_ops.0.op_list.0.'] = 'final_conv.'
            prefixes['output_ops.0.op_list.1.conv.'] = 'conv_seg.'
        else:
            prefixes['output_ops.0.op_list.0.conv.'] = 'conv_seg.'
        return prefixes

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Compute the logits.

        Args:
            inputs: All maps of the backbone, each of shape (B, C, H_i, W_i).

        Returns:
            Logits of shape (B, num_classes, H, W), the size of the finest map of `in_index`.
        """
        finest, *coarser = (conv(x) for conv, x in zip(self.input_convs, self._transform_inputs(inputs), strict=True))
        fused = finest
        for x in coarser:
            fused = fused + F.interpolate(x.float(), size=finest.shape[2:], mode='bicubic', align_corners=False)
        return self.cls_seg(self.final_conv(self.blocks(fused.to(finest.dtype))))

    def predict_by_feat(self, seg_logits: torch.Tensor, batch_img_metas: list[dict]) -> torch.Tensor:
        """Enlarge the logits to the size of the network's input, as mmseg does, but bicubically like the authors."""
        meta = batch_img_metas[0]
        sliding_window = isinstance(meta['img_shape'], torch.Size)
        size = meta['img_shape'] if sliding_window else meta.get('pad_shape', meta['img_shape'])[:2]
        return F.interpolate(seg_logits, size=tuple(size), mode='bicubic', align_corners=self.align_corners)
