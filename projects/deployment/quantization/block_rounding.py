"""Which way the weights of a block are rounded, learnt from what the block gives: BRECQ, arXiv 2102.05426.

As `learned_rounding`, but for all layers of a block at once, on maps of whole images, with all that the block reads on
its grids. The error of the block's output is weighted by the diagonal of the Gauss-Newton matrix, to which its mean is
added, as the authors' code adds one.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .blocks import Block
from .call_sites import Call
from .grids import AnyGrid, fake_quantize
from .learned_rounding import HELD_BACK, Choice, learn
from .tape import replay

STEPS = 400


def learn_block(
    block: Block,
    choices: Mapping[str, Choice],
    inputs: Mapping[str, AnyGrid],
    start: Mapping[str, Tensor],
    seed: int,
) -> dict[str, Tensor]:
    """Weights of a block, by name; `start` where those that were learnt are not better on images that were held back.

    Args:
        block: In float.
        choices: Of its weights.
        inputs: Grids of all activations.
        start: Weights on their grids.
        seed: Of the order of the images.
    """
    level = torch.stack([one.mean() for one in block.importance]).mean()

    def error(image: int, weights: Mapping[str, Tensor]) -> Tensor:
        def on_call(call: Call, operands: tuple[Tensor, ...]) -> Tensor:
            grids = [inputs.get(f'{call.site}:{index}') for index in range(len(operands))]
            rounded = (
                one if grid is None else fake_quantize(one, grid) for one, grid in zip(operands, grids, strict=True)
            )
            return call.compute(tuple(rounded), weights.get(call.weight_name or '', call.weight))

        difference = replay(block.steps, block.given[image], on_call) - block.outputs[image]
        return (difference.square() * (block.importance[image] + level)).sum()

    images = range(len(block.outputs))
    held, used = images[::HELD_BACK], [image for image in images if image % HELD_BACK]
    with torch.no_grad():
        scale = torch.stack([error(image, start) for image in used]).mean() if used else torch.zeros(())
    if scale <= 0:
        return dict(start)
    generator = torch.Generator().manual_seed(seed)

    def loss() -> Tensor:
        image = used[int(torch.randint(len(used), (), generator=generator))]
        return error(image, {name: choice.weight(choice.h) for name, choice in choices.items()}) / scale

    learn(list(choices.values()), loss, STEPS)
    found = {name: choice.chosen() for name, choice in choices.items()}
    with torch.no_grad():
        errors = [sum(float(error(image, weights)) for image in held) for weights in (found, start)]
    return found if errors[0] < errors[1] else dict(start)
