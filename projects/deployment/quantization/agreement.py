"""Whether a runtime computes what was simulated: the heads of a network, and each site alone."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..export.onnx_files import write_onnx
from ..inference_graphs.images import ImageGraph
from ..model_info import ModelInfo
from .call_sites import Call
from .quantized_graph import QuantizedGraph, Rounded, rounding

SAMPLED = 4096  # numbers of each site


class HeadsOfRegions(nn.Module):
    """A graph whose outputs are those of the heads, for the regions of one image.

    Regions take part in what is computed, with a zero of the image added: constants are sorted into levels by the
    exporter, and OpenVINO refuses the constant of a level that has none of them.

    Args:
        graph: What has `head_outputs`.
        regions: See `ImageGraph.regions`.
        images: (B, H, W, 3), to see once which outputs there are.
    """

    def __init__(self, graph: 'ImageGraph | QuantizedGraph | SitesAlone', regions: Any, images: Tensor) -> None:
        super().__init__()
        self.graph, self.regions = graph, regions
        self.output_names = tuple(graph.head_outputs(images, regions))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        zero = 0 * images[0, 0, 0, 0].float()
        regions = None if self.regions is None else tuple(region + zero for region in self.regions)
        return tuple(self.graph.head_outputs(images, regions).values())


class SitesAlone(nn.Module):
    """What each rounded site gives for what it reads in a network that is in float everywhere else.

    So no rounding follows from another, and two runtimes differ by no more than the order of their sums.

    Args:
        quantized: Whose sites they are.
    """

    def __init__(self, quantized: QuantizedGraph) -> None:
        super().__init__()
        self.quantized = quantized

    def head_outputs(self, images: Tensor, regions: Any = None) -> dict[str, Tensor]:
        """By names of sites, up to `SAMPLED` numbers or a few more, spread over all that one gives."""
        run = _Alone(self.quantized)
        with torch.no_grad(), run.following():
            self.quantized.graph.head_outputs(images, regions)
        return run.found


class _Alone(Rounded):
    def __init__(self, quantized: QuantizedGraph) -> None:
        scheme = quantized.scheme
        inputs = {key: rounding(grid) for key, grid in scheme.inputs.items()}
        super().__init__(quantized.graph, inputs, {name: rounding(grid) for name, grid in scheme.weights.items()})
        self.found: dict[str, Tensor] = {}

    def on_call(self, call: Call) -> Tensor:
        if f'{call.site}:0' in self.inputs:
            result = super().on_call(call).flatten()
            self.found[call.site] = result[:: int(result.shape[0]) // SAMPLED | 1]
        return call()

    def on_norm(self, call: Call) -> Tensor:
        return call()


def site_deviations(
    quantized: QuantizedGraph, info: ModelInfo, image: np.ndarray, open_session: Callable[[Path], Any]
) -> dict[str, float]:
    """How far a runtime strays from the simulation at each site alone: `relative_difference`.

    Args:
        quantized: In its executable form.
        info: Its description.
        image: (1, H, W, 3) uint8 RGB, that the network reads.
        open_session: Of an `.onnx` file, in float32 where nothing is rounded.
    """
    size = (image.shape[1], image.shape[2])
    info, images = dataclasses.replace(info, input_size=size, batch_size=1), torch.from_numpy(image)
    sites = HeadsOfRegions(SitesAlone(quantized), quantized.graph.regions(images), images).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'sites.onnx')
        write_onnx(sites, info, path, size)
        executed = open_session(path)(image)
    simulated = dict(zip(sites.output_names, sites(images), strict=True))
    return {
        site: relative_difference({site: executed[site]}, {site: value.numpy()})
        for site, value in simulated.items()
        if value.numel()  # no region may have reached it
    }


def relative_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The mean over outputs of mean |a - b| / mean |b|."""
    ratios = [np.abs(one[name] - value).mean() / max(np.abs(value).mean(), 1e-12) for name, value in other.items()]
    return float(np.mean(ratios))
