"""Which precision each site really runs in, as the compiled graph says."""

from collections.abc import Mapping
from pathlib import Path

from ..runtimes.openvino_layers import FUSED, INT8, KERNELS
from ..runtimes.openvino_session import OpenVINOSession
from .scheme import Scheme

FOLDED = 'folded'  # computed once, when the graph is compiled


def site_executions(scheme: Scheme, path: str | Path, precision: str | None = None) -> dict[str, str]:
    """Compile a file for the processor and read what its kernels compute in.

    Args:
        scheme: What the file was made with.
        path: `.onnx` of `write_quantized`, or the `.xml` made from it.
        precision: Of what is not quantised; None: what the processor is fastest in.

    Returns:
        'u8' or 'i8', by what the first operand is; 'f32' or 'bf16'; or 'folded'. Of attention that OpenVINO
        fuses into one kernel it tells one precision, which is taken for both products.
    """
    found: dict[str, str] = {}
    for layer in OpenVINOSession(path, precision).layers():
        if layer.kind not in KERNELS:
            continue
        for name in layer.made_of:
            site, _, rest = name.partition('/')  # such as /DequantizationMultiply, of scales moved behind the product
            if '#' in site and not (rest and layer.kind == FUSED):
                found[site] = layer.precision
    return {site.name: found.get(site.name, FOLDED) for site in scheme.sites}


def int8_share(scheme: Scheme, executions: Mapping[str, str]) -> float:
    """Part of all multiply-adds that run in 8 bits; of those of unknown operators none does."""
    macs = sum(site.macs for site in scheme.sites if executions[site.name] != FOLDED) + sum(scheme.unknown.values())
    integer = sum(site.macs for site in scheme.sites if executions[site.name] in INT8)
    return integer / macs if macs else 0.0
