"""Statistics of batch norms, which networks that share weights cannot share."""

from collections.abc import Iterable
from typing import Any

import torch
from mmengine.model import BaseModel
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate(network: BaseModel, batches: Iterable[Any]) -> None:
    """Replace the running statistics of all batch norms by plain means over batches; leave the network in eval mode.

    Source: https://arxiv.org/abs/1903.05134, section 3.3.

    Args:
        network: A whole model; all but its norms computes as in inference.
        batches: Of a training loader.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # all batches count alike
        norm.train()
    in_heads = any(
        module in norms
        for name, module in network.named_modules()
        if name.partition('.')[0] not in ('backbone', 'neck')
    )
    for batch in batches:
        batch = network.data_preprocessor(batch, False)
        if in_heads:
            network(**batch, mode='tensor')
        else:  # detectors need not detect
            network.extract_feat(batch['inputs'])
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
