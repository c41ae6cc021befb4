"""A quantised graph as an ONNX file: weights as integers, and nodes named after their sites."""

import copy
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from projects.storage.atomic_files import replacing

from ..export.onnx_files import write_onnx
from ..model_info import ModelInfo
from .grids import fake_quantize
from .quantized_graph import QuantizedGraph
from .scheme import CONV, DEPTHWISE, EXECUTABLE, LINEAR, MATMUL, TRANSPOSED, Site

try:
    import onnx
    from onnx import numpy_helper
except ImportError as error:
    raise ImportError(f"{error}; exports need the extra 'deploy': pip install -e '.[deploy]'") from error

OPERATORS = {
    CONV: ('Conv',),
    DEPTHWISE: ('Conv',),
    TRANSPOSED: ('ConvTranspose',),
    LINEAR: ('Gemm', 'MatMul'),
    MATMUL: ('MatMul',),
}


def write_quantized(
    quantized: QuantizedGraph, info: ModelInfo, path: str | Path, example_size: tuple[int, int]
) -> None:
    """Write a quantised graph as ONNX with QuantizeLinear and DequantizeLinear.

    ONNX Runtime and, converted, OpenVINO compute it in integers.

    Args:
        quantized: In its executable form.
        info: Its description.
        path: `.onnx`, in an existing folder.
        example_size: Height and width to trace with, if `info` leaves them open.

    Raises:
        ValueError: It is the form of a paper, which no runtime executes; or ONNX lacks an operator.
    """
    if quantized.scheme.form != EXECUTABLE:
        raise ValueError(
            f'{quantized.scheme.title}: no kernel executes it; quantize with form {EXECUTABLE!r} to export '
            f'{quantized.scheme.method}'
        )
    path = Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        traced = Path(folder, path.name)
        write_onnx(_with_rounded_weights(quantized), info, traced, example_size)
        model = onnx.load(traced)
    name_nodes(model, quantized.scheme.sites)
    store_integers(model)
    with replacing(path) as temporary:
        onnx.save(model, temporary)


def _with_rounded_weights(quantized: QuantizedGraph) -> QuantizedGraph:
    """The same, whose weights lie on their grids, which then are written without clipping.

    But for those that a site in float reads, too.
    """
    scheme, graph = quantized.scheme, copy.deepcopy(quantized.graph)
    parameters = dict(graph.named_parameters())
    in_float = {site.weight for site in scheme.sites if site.name in scheme.kept_in_float}
    grids = dict(scheme.weights)
    with torch.no_grad():
        for name in grids.keys() - in_float:
            parameters[name].copy_(fake_quantize(parameters[name], grids[name]))
            grids[name] = dataclasses.replace(grids[name], low=-128, high=127)
    return QuantizedGraph(graph, dataclasses.replace(scheme, weights=grids))


def name_nodes(model: onnx.ModelProto, sites: tuple[Site, ...]) -> None:
    """Name each node after the site that it computes, by which runtimes then tell of it; both stand in one order.

    Raises:
        ValueError: They do not correspond.
    """
    nodes = [
        node for node in model.graph.node if node.op_type in {name for names in OPERATORS.values() for name in names}
    ]
    same = len(nodes) == len(sites) and all(
        node.op_type in OPERATORS[site.kind] for node, site in zip(nodes, sites, strict=True)
    )
    if not same:
        raise ValueError(f'the file has {len(nodes)} products, the network {len(sites)}; expected the same ones')
    for node, site in zip(nodes, sites, strict=True):
        node.name = site.name


def store_integers(model: onnx.ModelProto) -> None:
    """Replace constants before a QuantizeLinear by the integers that come out of it: a quarter of the bytes."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}

    def value(name: str) -> np.ndarray | None:
        while name not in constants and name in makers and makers[name].op_type == 'Identity':
            name = makers[name].input[0]
        if name in constants:
            return numpy_helper.to_array(constants[name])
        node = makers.get(name)
        if node is not None and node.op_type == 'Constant':
            return numpy_helper.to_array(node.attribute[0].t)
        return None

    folded = []
    for node in graph.node:
        if node.op_type != 'QuantizeLinear' or (weight := value(node.input[0])) is None:
            continue
        scale, zero_point = value(node.input[1]), value(node.input[2])
        assert scale is not None
        assert zero_point is not None
        axis = next((attribute.i for attribute in node.attribute if attribute.name == 'axis'), 1)
        shape = [1] * weight.ndim
        if scale.ndim and scale.size > 1:
            shape[axis] = -1
        limits = np.iinfo(zero_point.dtype)
        rounded = np.rint(weight / scale.reshape(shape)) + zero_point.reshape(shape)
        integers = rounded.clip(limits.min, limits.max).astype(zero_point.dtype)
        graph.initializer.append(numpy_helper.from_array(integers, node.output[0]))
        folded.append(node)
    for node in folded:
        graph.node.remove(node)
    _drop_unread(graph)


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove constants that nothing reads any more."""
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    while unread := [node for node in _constants(graph) if not read & set(node.output)]:
        for node in unread:
            graph.node.remove(node)
        read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def _constants(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    return (node for node in graph.node if node.op_type in ('Identity', 'Constant'))
