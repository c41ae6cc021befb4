"""Batch normalisation over several processes (mmcv's `MMSyncBN`); mmcv's Python averages between these steps."""

from torch import Tensor


def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Write the means (C,) of the channels of features (B, C, cells) to `mean`."""
    mean.copy_(input.float().mean(dim=(0, 2)))


def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Write the mean squared distances (C,) from `mean` to `var`."""
    var.copy_((input.float() - mean[:, None]).square().mean(dim=(0, 2)))


def sync_bn_forward_output(
    input: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor | None,
    running_var: Tensor | None, norm: Tensor, std: Tensor, output: Tensor, eps: float, momentum: Tensor,
    group_size: int,
) -> None:  # fmt: skip
    """Write the normalised features, before and after weight and bias, and update the running mean and variance.

    The running variance is the unbiased one, of as many numbers as `group_size` processes with this input have.
    """
    std.copy_((var + eps).sqrt())
    norm.copy_((input.float() - mean[:, None]) / std[:, None])
    output.copy_(norm * weight[:, None] + bias[:, None])
    if running_mean is not None and running_var is not None:
        count = input.shape[0] * input.shape[2] * group_size
        unbiased = var * count / (count - 1) if count > 1 else var
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(unbiased, momentum)


def sync_bn_backward_param(grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor) -> None:
    """Write the gradients (C,) by weight and bias."""
    grad_weight.copy_((grad_output.float() * norm).sum(dim=(0, 2)))
    grad_bias.copy_(grad_output.float().sum(dim=(0, 2)))


def sync_bn_backward_data(
    grad_output: Tensor, weight: Tensor, grad_weight: Tensor, grad_bias: Tensor, norm: Tensor, std: Tensor,
    grad_input: Tensor,
) -> None:  # fmt: skip
    """Write the gradient by the features, given those by weight and bias, averaged over the processes."""
    count = grad_output.shape[0] * grad_output.shape[2]
    common = (grad_weight[:, None] * norm + grad_bias[:, None]) / count
    grad_input.copy_((weight / std)[:, None] * (grad_output.float() - common))
