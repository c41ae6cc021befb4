"""Layout of feature maps in memory."""

import torch


def convolution_layout(images: torch.Tensor) -> torch.Tensor:
    """Lay images out in memory so that the convolutions of a network run fastest; their outputs keep the layout.

    On CPUs that is channels-last: the convolutions of torch would otherwise lay out their inputs and outputs anew, one
    by one. For other devices, where it depends on the precision, the choice is left to the caller.

    Args:
        images: Shape (B, C, H, W).

    Returns:
        The same values in the same shape.
    """
    return images.contiguous(memory_format=torch.channels_last) if images.device.type == 'cpu' else images
