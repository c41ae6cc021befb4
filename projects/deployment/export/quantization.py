"""int8: weights and activations of an exported graph in 8 bits, by NNCF's post-training quantisation."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from projects.storage.atomic_files import replacing

from ..quantization.calibration import check_images
from ..runtimes.processor import exact_weight_bits

try:
    import nncf
    import onnx
except ImportError as error:
    raise ImportError(f"{error}; int8 needs the extra 'deploy': pip install -e '.[deploy]'") from error

LEARNT = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')  # what is worth computing in int8


def quantize_onnx(
    path: str | Path, out: str | Path, images: Sequence[np.ndarray], weight_bits: int | None = None
) -> None:
    """Quantise an ONNX file; ONNX Runtime and, converted, OpenVINO compute it in int8.

    NNCF's mixed preset: weights symmetric per channel, activations asymmetric where they have no symmetric range, and
    biases corrected. What follows the last learnt layer stays as it is: the softmax, and the decoding and choice of
    boxes, where 8 bits would move boxes by several pixels.

    Args:
        path: The fp32 file.
        out: The file to write; descriptions in the metadata are taken over.
        images: (B, H, W, 3) uint8 RGB batches as the graph takes them.
        weight_bits: 8 or 7, see `exact_weight_bits`, which is the default.

    Raises:
        ValueError: There are too few images, or NNCF cannot quantise the network.
    """
    check_images(images)
    weight_bits = weight_bits or exact_weight_bits()
    nncf.set_log_level(logging.ERROR)
    model = onnx.load(path)
    name = model.graph.input[0].name
    try:
        quantized = nncf.quantize(
            model,
            nncf.Dataset([{name: image} for image in images]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE if weight_bits < 8 else None
            ),
            ignored_scope=nncf.IgnoredScope(names=kept_in_float(model), validate=False),
        )
    except nncf.InternalError as error:
        raise ValueError(
            f'NNCF cannot quantise this network: {error}. Calibrate with other images (--calibration), or use '
            '--precision bf16'
        ) from error
    onnx.helper.set_model_props(quantized, {prop.key: prop.value for prop in model.metadata_props})
    with replacing(out) as temporary:
        onnx.save(quantized, temporary)


def kept_in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes between the last learnt layers and an output, and of those around a RoIAlign.

    Before it these are the decoding and choice of regions. It and what follows up to the next learnt layer are left out
    because on a level without regions there are no values to calibrate with.
    """
    nodes = model.graph.node
    makers = {name: node for node in nodes for name in node.output}
    pending = [output.name for output in model.graph.output]
    kept: dict[str, None] = {}
    after_regions: set[str] = set()
    for node in nodes:  # in the order of computation
        if node.op_type == 'RoiAlign':
            pending += node.input[1:]  # the regions and their images, not the map
        if node.op_type == 'RoiAlign' or (node.op_type not in LEARNT and after_regions & set(node.input)):
            kept[node.name] = None
            after_regions |= set(node.output)
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        node = makers.get(name)
        if node is not None and name not in seen and node.op_type not in LEARNT:
            seen.add(name)
            kept[node.name] = None
            pending += node.input
    return list(kept)
