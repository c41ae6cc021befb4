"""Folding batch normalisation into convolutions of any network, wherever the two follow one another."""

from collections import Counter
from typing import Any

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import nn
from torch.autograd.graph import Node

# Convolutions that apply their weights as they are, which those with standardised or mixed kernels do not.
CONVOLUTIONS = (nn.Conv2d, Conv2dSame)


def fold_batch_norms(network: nn.Module, images: torch.Tensor) -> None:
    """Fold each batch norm into the convolution before it, in place, where nothing else reads its output.

    What follows what is seen from one run of the network; a layer that runs more than once is left alone.

    Args:
        network: A network in eval mode, which returns a sequence of tensors.
        images: Its input in that run.
    """
    names = {module: name for name, module in network.named_modules()}
    runs: Counter[nn.Module] = Counter()
    convolutions: dict[Node | None, nn.Conv2d] = {}
    norms: dict[Node | None, nn.BatchNorm2d] = {}

    def note_convolution(module: nn.Conv2d, _: Any, output: torch.Tensor) -> None:
        runs[module] += 1
        convolutions[output.grad_fn] = module

    def note_norm(module: nn.BatchNorm2d, inputs: tuple[torch.Tensor]) -> None:
        runs[module] += 1
        norms[inputs[0].grad_fn] = module

    handles = [module.register_forward_hook(note_convolution) for module in names if type(module) in CONVOLUTIONS]
    handles += [module.register_forward_pre_hook(note_norm) for module in names if isinstance(module, nn.BatchNorm2d)]
    with torch.enable_grad():
        outputs = network(images.detach().requires_grad_())
    for handle in handles:
        handle.remove()

    readers = _count_readers([output.grad_fn for output in outputs])
    for node in convolutions.keys() & norms.keys():
        convolution, norm = convolutions[node], norms[node]
        if readers[node] == runs[convolution] == runs[norm] == 1:
            network.set_submodule(names[convolution], torch.nn.utils.fuse_conv_bn_eval(convolution, norm))
            rest = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
            network.set_submodule(names[norm], rest)


def _count_readers(outputs: list[Node | None]) -> Counter[Node | None]:
    """Count the operations that read the result of each one, over the whole graph; being returned counts, too."""
    readers = Counter(outputs)
    open_nodes = [node for node in readers if node is not None]
    while open_nodes:
        for node, _ in open_nodes.pop().next_functions:
            if node is not None:
                if node not in readers:
                    open_nodes.append(node)
                readers[node] += 1
    return readers
