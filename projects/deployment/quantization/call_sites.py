"""Catching what a network multiplies, call by call, whatever its modules look like."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, resolve_name

from .scheme import CONV, DEPTHWISE, LINEAR, MATMUL, NORM, TRANSPOSED


@dataclass(frozen=True)
class Call:
    """A call of an operator that multiplies.

    Attributes:
        site: Its name, see `Site`.
        kind: See `Site`.
        operands: The activations that it reads, one, or two of a matrix product.
        weight: The parameter, or None.
        weight_name: Of the parameter.
        weight_axis: Dimension of `weight` along which the outputs lie.
        compute: From operands and weight to the result.
        bias: The parameter that is added to the product, or None.
        options: Stride, padding, dilation and groups of a convolution.
    """

    site: str
    kind: str
    operands: tuple[Tensor, ...]
    weight: Tensor | None
    weight_name: str | None
    weight_axis: int
    compute: Callable[[tuple[Tensor, ...], Any], Tensor]
    bias: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self) -> Tensor:
        """The result in float."""
        return self.compute(self.operands, self.weight)


class CallSites(TorchFunctionMode):
    """Gives every convolution, linear layer and matrix product of a network to `on_call`.

    Identity of a site is the path of the innermost module that runs, and the number of the call in it. Attention by
    `scaled_dot_product_attention` is split into its two products; masks are added in between.

    Args:
        graph: The network whose modules give the names.
    """

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self._paths = {module: path for path, module in graph.named_modules()}
        self._parameters = {id(parameter): name for name, parameter in graph.named_parameters()}
        self._stack: list[str] = []
        self._calls: Counter[str] = Counter()

    def on_call(self, call: Call) -> Tensor:
        """What to give to the network for a call."""
        return call()

    def on_norm(self, call: Call) -> Tensor:
        """What to give to the network for a layer normalisation."""
        return call()

    def on_other(self, function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        """What to give to the network for any other function of PyTorch."""
        return function(*args, **kwargs)

    @contextmanager
    def following(self) -> Iterator[None]:
        """One run of the network, or of a part of it: catch its calls."""
        self._stack.clear()
        self._calls.clear()
        handles = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def numbered(self, name: str) -> str:
        """A name with the number of times that it was asked for in this run."""
        self._calls[name] += 1
        return f'{name}{self._calls[name] - 1}'

    @property
    def module(self) -> str:
        """Path of the innermost module that runs."""
        return self._stack[-1] if self._stack else ''

    def _enter_module(self, module: nn.Module, _: Any) -> None:
        if module in self._paths:
            self._stack.append(self._paths[module])

    def _leave_module(self, module: nn.Module, *_: Any) -> None:
        if module in self._paths:
            self._stack.pop()

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        caught = CAUGHT.get(func)
        result = NotImplemented if caught is None else caught(self, *args, **(kwargs or {}))
        return self.on_other(func, args, kwargs or {}) if result is NotImplemented else result

    def call(
        self,
        kind: str,
        operands: tuple[Tensor, ...],
        weight: Tensor | None,
        axis: int,
        compute: Callable[[tuple[Tensor, ...], Any], Tensor],
        bias: Tensor | None = None,
        **options: Any,
    ) -> Tensor:
        """Number a call and hand it on."""
        name = self.numbered(f'{self.module}#')
        names = self._parameters.get(id(weight)), self._parameters.get(id(bias))
        return self.on_call(Call(name, kind, operands, weight, names[0], axis, compute, names[1], options))


def _conv2d(
    sites: CallSites,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    options = {'stride': stride, 'padding': padding, 'dilation': dilation, 'groups': groups}
    depthwise = groups > 1 and groups == input.shape[-3]
    return sites.call(
        DEPTHWISE if depthwise else CONV,
        (input,),
        weight,
        0,
        lambda operands, weight: F.conv2d(operands[0], weight, bias, **options),
        bias,
        **options,
    )


def _conv_transpose2d(
    sites: CallSites,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    options = {'stride': stride, 'padding': padding, 'dilation': dilation, 'groups': groups}
    return sites.call(
        TRANSPOSED,
        (input,),
        weight,
        1,
        lambda operands, weight: F.conv_transpose2d(
            operands[0], weight, bias, output_padding=output_padding, **options
        ),
        bias,
        **options,
    )


def _linear(sites: CallSites, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return sites.call(LINEAR, (input,), weight, 0, lambda operands, weight: F.linear(operands[0], weight, bias), bias)


def _matmul(sites: CallSites, input: Tensor, other: Tensor) -> Tensor:
    if id(other) in sites._parameters and other.dim() == 2:
        return sites.call(LINEAR, (input,), other, 1, lambda operands, weight: torch.matmul(operands[0], weight))
    return sites.call(MATMUL, (input, other), None, 0, lambda operands, _: torch.matmul(*operands))


def _reversed_matmul(sites: CallSites, other: Tensor, input: Tensor) -> Tensor:
    return _matmul(sites, input, other)


def _baddbmm(
    sites: CallSites, input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    with sites:  # which sees what this is made of
        product = torch.matmul(batch1, batch2)
        product = product if alpha == 1 else product * alpha
        return product if beta == 0 else product + (input if beta == 1 else input * beta)


def _attention(
    sites: CallSites,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if is_causal or enable_gqa or dropout_p:
        return NotImplemented
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    with sites:  # which sees what this is made of
        logits = torch.matmul(query * scale, key.transpose(-2, -1))
        if attn_mask is not None:
            logits = logits.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else logits + attn_mask
        return torch.matmul(logits.softmax(-1), value)


def _layer_norm(sites: CallSites, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    def compute(operands: tuple[Tensor, ...], _: Any) -> Tensor:
        return sites.on_other(F.layer_norm, (*operands, *args), kwargs)

    return sites.on_norm(Call(sites.numbered(f'{sites.module}#norm'), NORM, (input,), None, None, 0, compute))


CAUGHT: dict[Callable, Callable[..., Any]] = {
    torch.conv2d: _conv2d,
    torch.conv_transpose2d: _conv_transpose2d,
    F.linear: _linear,
    F.scaled_dot_product_attention: _attention,
    F.layer_norm: _layer_norm,
    torch.baddbmm: _baddbmm,
    Tensor.baddbmm: _baddbmm,
    Tensor.__rmatmul__: _reversed_matmul,
    **dict.fromkeys(
        (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.mm, Tensor.mm), _matmul
    ),
}


def operator_name(function: Callable) -> str:
    """How PyTorch calls a function."""
    return resolve_name(function) or getattr(function, '__name__', str(function))
