"""How long each kernel of a compiled OpenVINO graph takes, how many multiply-adds it does, and how many it could do."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import prod
from types import MappingProxyType

import numpy as np

from .openvino_session import ExecutedLayer, compile_graph, executed_layers

try:
    import openvino
    from openvino import opset15 as opset
except ImportError as error:
    raise ImportError(f"{error}; OpenVINO needs the extra 'deploy': pip install -e '.[deploy]'") from error

FUSED = 'Subgraph'  # elementwise operations, and all of an attention
KERNELS = ('Convolution', 'Deconvolution', 'FullyConnected', 'MatMul', FUSED)  # that multiply and add
INT8 = ('u8', 'i8')
PROFILED = {'PERF_COUNT': True}
COARSE = 20  # a difference of means is taken for a time where that is so many times as long as its error

Shape = Sequence[int]

MULTIPLY_ADDS: dict[str, Callable[[Shape, Shape, Shape], int]] = {
    # of the shapes of what a node reads, of its weights and of what it gives
    'Convolution': lambda data, weight, out: prod(out) * prod(weight[1:]),
    'GroupConvolution': lambda data, weight, out: prod(out) * prod(weight[2:]),
    'ConvolutionBackpropData': lambda data, weight, out: prod(data) * prod(weight[1:]),
    'GroupConvolutionBackpropData': lambda data, weight, out: prod(data) * prod(weight[2:]),
    'DeformableConvolution': lambda data, weight, out: prod(out) * prod(weight[1:]),
    'MatMul': lambda data, weight, out: prod(out) * data[-1],
}


@dataclass(frozen=True)
class TimedLayer:
    """A kernel of a compiled graph, and what it took.

    Attributes:
        name: In the compiled graph.
        kind: OpenVINO's name for what it does.
        kernel: OpenVINO's name for how.
        precision: Of what it reads: 'f32', 'bf16', 'f16', 'i8' or 'u8'.
        ms: Of the fastest call.
        macs: Multiply-adds of a call; 0 for what does none.
    """

    name: str
    kind: str
    kernel: str
    precision: str
    ms: float
    macs: int

    @property
    def gflops(self) -> float | None:
        """Operations per nanosecond, two for each multiply-add; None for a layer without."""
        return 2 * self.macs / self.ms / 1e6 if self.macs and self.ms else None


def time_layers(
    model: openvino.Model, inputs: Sequence[np.ndarray], precision: str | None, threads: int | None, calls: int
) -> list[TimedLayer]:
    """Call a graph some times and return its layers, those that take time, in the order of execution.

    Args:
        model: Not compiled.
        inputs: Of every call.
        precision: See `OpenVINOSession`.
        threads: See `OpenVINOSession`.
        calls: How often, after one that warms up; the fastest of each layer counts, as it does for a ceiling.

    Raises:
        ValueError: The processor has no such precision.
    """

    def run(graph: openvino.Model) -> Sequence[np.ndarray]:
        return compile_graph(graph, precision, threads)(list(inputs)).to_tuple()

    macs = node_macs(model, run)
    compiled = compile_graph(model, precision, threads, PROFILED)
    request = compiled.create_infer_request()
    means_us: list[dict[str, int]] = []
    for _ in range(calls + 1):
        request.infer(list(inputs))
        means_us.append({one.node_name: one.real_time // timedelta(microseconds=1) for one in request.profiling_info})
    layers = executed_layers(compiled)
    timed = [
        TimedLayer(
            one.name, one.kind, one.kernel, one.precision, ms_of(each.get(one.name, 0) for each in means_us), own
        )
        for one, own in zip(layers, macs_of_layers(layers, macs, scales_and_biases(model)), strict=True)
    ]
    return [one for one in timed if one.ms > 0]


def ms_of(means_us: Iterable[int]) -> float:
    """Milliseconds of a layer's fastest call, from its means over all calls so far, the first of which warms up.

    OpenVINO tells means, in whole microseconds: after n calls a single one is known to n microseconds. Of what takes
    hardly longer the mean is returned.

    Example:
        >>> ms_of([9000, 5000, 4000])  # calls of 9, 1 and 2 ms
        1.0
    """
    means = list(means_us)
    if means[-1] < COARSE * len(means):
        return means[-1] / 1e3
    totals = [number * mean for number, mean in enumerate(means, 1)]
    return min(after - before for before, after in itertools.pairwise(totals)) / 1e3


def macs_of_layers(
    layers: Sequence[ExecutedLayer],
    macs: Mapping[str, int],
    followers: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[int]:
    """Multiply-adds of each layer: of all nodes that it is made of, each of which counts once.

    Args:
        layers: Of the compiled graph.
        macs: Of the nodes of the graph, see `node_macs`.
        followers: See `scales_and_biases`; of some nodes a layer tells only these.
    """
    known = {name for one in layers if one.kind in KERNELS for name in one.made_of}
    left: Counter[str] = Counter()
    for name, number in macs.items():
        left[next((one for one in (name, *followers.get(name, ())) if one in known), name)] += number
    return [sum(left.pop(name, 0) for name in one.made_of) if one.kind in KERNELS else 0 for one in layers]


def scales_and_biases(model: openvino.Model) -> dict[str, list[str]]:
    """Names of the products and sums that alone take the result of each node with multiply-adds, one after another."""
    found: dict[str, list[str]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() in MULTIPLY_ADDS:
            names = found[node.friendly_name] = []
            while len(takers := node.output(0).get_target_inputs()) == 1:
                (node,) = (one.get_node() for one in takers)
                if node.get_type_name() not in ('Multiply', 'Add'):
                    break
                names.append(node.friendly_name)
    return found


def node_macs(model: openvino.Model, run: Callable[[openvino.Model], Sequence[np.ndarray]]) -> dict[str, int]:
    """Multiply-adds of each node of a graph, as `multiply_adds` counts them: of convolutions and matrix products.

    Args:
        model: Not compiled.
        run: Calls a graph of the same inputs once and returns its outputs: sizes that depend on the images, or on what
            is found in them. It is not asked where there are none.

    Returns:
        By name of the node.
    """
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() in MULTIPLY_ADDS]
    ports = [_ports(node) for node in nodes]
    open_ports = {
        (node, place): port
        for node, of_node in enumerate(ports)
        for place, port in enumerate(of_node)
        if port.get_partial_shape().is_dynamic
    }
    found: dict[tuple[int, int], Shape] = {}
    if open_ports:
        asked = openvino.Model([opset.shape_of(port) for port in open_ports.values()], model.get_parameters())
        found = {key: shape.tolist() for key, shape in zip(open_ports, run(asked), strict=True)}
    macs = {}
    for number, (node, of_node) in enumerate(zip(nodes, ports, strict=True)):
        data, weight, out = (
            found[number, place] if (number, place) in found else [*port.get_shape()]
            for place, port in enumerate(of_node)
        )
        if node.get_type_name() == 'MatMul' and node.get_attributes()['transpose_a']:
            data = [*data[:-2], *data[:-3:-1]]
        macs[node.friendly_name] = MULTIPLY_ADDS[node.get_type_name()](data, weight, out)
    return macs


def _ports(node: openvino.Node) -> tuple[openvino.Output, openvino.Output, openvino.Output]:
    """What a node reads, its weights, and what it gives."""
    weight = 2 if node.get_type_name() == 'DeformableConvolution' else 1
    return node.input_value(0), node.input_value(weight), node.output(0)


def measure_layer_ceiling(precision: str, threads: int, calls: int = 10) -> float:
    """Measure the best rate of OpenVINO's kernels: of large matrix products and convolutions.

    Args:
        precision: What layers run in, as `TimedLayer` says it.
        threads: Of the processor.
        calls: The fastest counts.

    Returns:
        GFLOP/s, two operations for each multiply-add.

    Raises:
        ValueError: No layer of these ran in this precision.
    """
    hint = {'bf16': 'bf16', 'f16': 'fp16'}.get(precision, 'fp32')
    model = large_products(precision in INT8)
    random = np.random.default_rng(0)
    inputs = [random.random(tuple(one.shape), np.float32) for one in model.inputs]
    layers = time_layers(model, inputs, hint, threads, calls)
    same = INT8 if precision in INT8 else (precision,)
    rates = [one.gflops for one in layers if one.gflops is not None and one.precision in same]
    if not rates:
        ran = ', '.join(sorted({one.precision for one in layers if one.macs}))
        raise ValueError(f'no ceiling for {precision}: OpenVINO computes large products in {ran} here')
    return max(rates)


def large_products(
    quantized: bool, sides: Sequence[int] = (256, 512, 1024), channels: Sequence[int] = (128, 256), height: int = 28
) -> openvino.Model:
    """A graph of large matrix products and convolutions; the small ones end before other work interrupts them.

    Args:
        quantized: Whether it computes in 8 bits; else in whatever it is compiled for.
        sides: Of the square matrices.
        channels: That each of the 3x3 convolutions reads and gives.
        height: And width of what these read.
    """
    random = np.random.default_rng(0)
    low, zero, high = (np.float32(value) for value in (-1, 0, 1))
    shapes: list[tuple[Shape, Shape]] = [((side, side), (side, side)) for side in sides]
    shapes += [((1, number, height, height), (number, number, 3, 3)) for number in channels]
    read = [opset.parameter(list(data), np.float32) for data, _ in shapes]
    stored = [opset.constant(random.random(weight, np.float32) - np.float32(0.5)) for _, weight in shapes]
    operands = list(zip(read, stored, strict=True))
    if quantized:  # 255 levels: signed weights, of which 0 is one, as the kernels take them
        operands = [
            (
                opset.fake_quantize(data, zero, high, zero, high, 256),
                opset.fake_quantize(weight, low, high, low, high, 255),
            )
            for data, weight in operands
        ]
    products = [opset.matmul(*pair, False, False) for pair in operands[: len(sides)]]
    products += [opset.convolution(*pair, [1, 1], [1, 1], [1, 1], [1, 1]) for pair in operands[len(sides) :]]
    return openvino.Model(products, read)
