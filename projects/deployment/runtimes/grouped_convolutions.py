"""Grouped convolutions in int8 as OpenVINO computes them right: with neighbouring groups joined.

On processors with AMX two of its kernels (2026.4) give wrong numbers for convolutions of several groups, silently:

- 1x1 at stride 1, over groups of more than 64 channels that are no multiple of 64: in all groups;
- wider ones that read a grid whose zero point is not 0, over groups of less than 32 channels whose products with the
  width exceed 64, or that are no multiple of 4: in all groups but the first.

Zeros are exact in int8: joined groups, with weights of 0 between them, give the same numbers, by other kernels.
"""

import copy
from collections.abc import Iterator

import numpy as np

try:
    import onnx
    from onnx import numpy_helper
except ImportError as error:
    raise ImportError(f"{error}; exports need the extra 'deploy': pip install -e '.[deploy]'") from error

BLOCK = 64  # 8-bit numbers that AMX multiplies at once
PACKED = 4  # channels that lie side by side for it
PASSED = ('QuantizeLinear', 'DequantizeLinear', 'Identity', 'Max', 'Min', 'Clip')  # between weights and a convolution


def groups_at_once(groups: int, channels: int, kernel: tuple[int, ...], zero_point: int) -> int:
    """How many neighbouring groups have to be joined for right results; 1: none.

    Args:
        groups: Of the convolution.
        channels: That each of them reads.
        kernel: Its sides.
        zero_point: Of the grid of what it reads.

    Example:
        >>> groups_at_once(4, 96, (1, 1), 0), groups_at_once(4, 144, (1, 1), 0), groups_at_once(4, 64, (1, 1), 0)
        (2, 4, 1)
    """
    for joined in range(1, groups):
        if groups % joined == 0 and not _is_wrong(joined * channels, kernel, zero_point):
            return joined
    return groups


def _is_wrong(channels: int, kernel: tuple[int, ...], zero_point: int) -> bool:
    """Whether one of several groups is computed wrongly: as measured, over all shapes of a grid and random ones."""
    is_packed = channels % PACKED == 0  # of others the 1x1 kernel does without AMX
    if max(kernel) == 1:
        return is_packed and channels > BLOCK and channels % BLOCK > 0
    is_copied = not is_packed or channels * kernel[-1] > BLOCK  # a row of the kernel for all channels in one piece
    return zero_point != 0 and kernel[-1] > 1 and 1 < channels < BLOCK // 2 and is_copied


def join_groups(model: onnx.ModelProto) -> bool:
    """Join groups of convolutions in 8 bits where that is needed, and leave all others as they are.

    Args:
        model: With QuantizeLinear and DequantizeLinear; changed in place.

    Returns:
        Whether anything was changed.
    """
    graph = _Constants(model.graph)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == 'Conv' and (joined := _joined(graph, node)) > 1:
            nodes += _join(graph, node, joined)
        nodes.append(node)
    changed = len(nodes) > len(model.graph.node)
    if changed:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return changed


class _Constants:
    """Who makes what in a graph, and the values of its constants."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.makers = {name: node for node in graph.node for name in node.output}
        self.stored = {tensor.name: tensor for tensor in graph.initializer}

    def value(self, name: str) -> np.ndarray | None:
        """A constant, or None for what depends on the input."""
        if name in self.stored:
            return numpy_helper.to_array(self.stored[name])
        node = self.makers.get(name)
        if node is not None and node.op_type == 'Identity':
            return self.value(node.input[0])
        if node is not None and node.op_type == 'Constant' and node.attribute[0].name == 'value':
            return numpy_helper.to_array(node.attribute[0].t)
        return None

    def chain(self, name: str) -> list[onnx.NodeProto]:
        """The nodes between a constant and its reader, beginning with the latter."""
        found = []
        while self.value(name) is None:
            node = self.makers.get(name)
            if node is None or node.op_type not in PASSED:
                return []
            found.append(node)
            name = node.input[0]
        return found


def _joined(graph: _Constants, node: onnx.NodeProto) -> int:
    """How many of a node's groups to join; 1 of what is not computed in 8 bits."""
    data, chain = graph.makers.get(node.input[0]), graph.chain(node.input[1])
    if data is None or data.op_type != 'DequantizeLinear' or not chain or chain[0].op_type != 'DequantizeLinear':
        return 1
    weight, zero_point = graph.value(chain[-1].input[0]), _zero_point(graph, data)
    assert weight is not None
    return groups_at_once(_groups(node).i, weight.shape[1], weight.shape[2:], int(np.abs(zero_point).max()))


def _groups(node: onnx.NodeProto) -> onnx.AttributeProto:
    return next(
        (attribute for attribute in node.attribute if attribute.name == 'group'), onnx.helper.make_attribute('group', 1)
    )


def _zero_point(graph: _Constants, node: onnx.NodeProto) -> np.ndarray:
    value = graph.value(node.input[2]) if len(node.input) > 2 else None
    return np.zeros(1, np.int64) if value is None else value.astype(np.int64)


def _join(graph: _Constants, node: onnx.NodeProto, joined: int) -> Iterator[onnx.NodeProto]:
    """Let a convolution read joined weights, by nodes of its own, which are returned."""
    chain = graph.chain(node.input[1])
    weight = graph.value(chain[-1].input[0])
    assert weight is not None
    zero = _zero_point(graph, chain[-1])[0] if weight.dtype.kind in 'iu' else 0  # of integers, those that mean 0
    name = f'{node.output[0]}/joined'
    wide = _block_diagonal(weight, _groups(node).i, joined, zero)
    graph.graph.initializer.append(numpy_helper.from_array(wide, name))
    for index, original in enumerate(reversed(chain)):
        copied = copy.deepcopy(original)
        copied.name, copied.input[0], copied.output[0] = f'{name}_{index}', name, f'{name}_{index}_output'
        name = copied.output[0]
        yield copied
    node.input[1] = name
    _groups(node).i //= joined


def _block_diagonal(weight: np.ndarray, groups: int, joined: int, zero: int) -> np.ndarray:
    """Weights (O, I / groups, ...) of as many groups as `groups / joined`, (O, joined * I / groups, ...)."""
    outputs, channels, *kernel = weight.shape
    wide = np.full((groups // joined, joined, outputs // groups, joined, channels, *kernel), zero, weight.dtype)
    parts = weight.reshape(groups // joined, joined, outputs // groups, channels, *kernel)
    for index in range(joined):
        wide[:, index, :, index] = parts[:, index]
    return wide.reshape(outputs, joined * channels, *kernel)
