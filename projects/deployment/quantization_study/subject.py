"""A trained network as candidates are measured on it: in float, quantised, simulated and executed."""

import copy
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from mmengine.config import Config
from torch import Tensor, nn

from projects.training.checkpoints import latest_checkpoint

from ..export.calibration_images import NamedImage
from ..export.file_verification import batches_of
from ..export.onnx_files import write_onnx
from ..export.quantization import quantize_onnx
from ..inference_graphs import build_graph, load_model
from ..model_info import ModelInfo
from ..quantization.agreement import HeadsOfRegions, relative_difference
from ..quantization.discovery import find_sites
from ..quantization.execution import int8_share, site_executions
from ..quantization.quantize import quantize
from ..quantization.quantized_file import name_nodes, write_quantized
from ..quantization.quantized_graph import QuantizedGraph
from ..quantization.scheme import EXECUTABLE, Scheme
from ..runtimes.openvino_session import OpenVINOSession, convert_onnx
from .records import FLOAT, NNCF, Candidate, Details

PRECISION = 'fp32'  # of all that is not quantised, for all candidates
NOISE = 1e-6  # relative to each output of a convolution, as rounding in another order makes


@dataclass
class Quantized:
    """A candidate on a network.

    Attributes:
        graph: The simulation; None of NNCF and of the network in float.
        search_s: Seconds of the calibration.
    """

    graph: QuantizedGraph | None
    search_s: float


class Subject:
    """A trained network.

    Args:
        cfg: Its config.
        checkpoint: Of the whole model.
        examples: Images, (1, H, W, 3) uint8 RGB, all of the size to which its graph is fixed. Several, since on one
            of them noise may move no value across a boundary of its grid, or one that moves many.
    """

    def __init__(self, cfg: Config, checkpoint: Path, examples: Sequence[np.ndarray]) -> None:
        info, image_size = ModelInfo.from_config(cfg), (examples[0].shape[1], examples[0].shape[2])
        output = 'labels' if info.is_segmentor else info.output
        self.info = dataclasses.replace(info, input_size=image_size, batch_size=1, output=output)
        model = load_model(cfg, checkpoint)
        if hasattr(model.backbone, 'fuse'):
            model.backbone.fuse()
        self.graph = build_graph(model, self.info)
        self.image_size, self.examples = image_size, examples

    def quantize(self, candidate: Candidate, images: Sequence[NamedImage], file: Path, work: Path | None) -> Quantized:
        """Quantise, and write the file if a runtime can execute it.

        Args:
            candidate: How.
            images: To calibrate with.
            file: The `.xml` to write, in an existing folder; not of what is simulated.
            work: Folder from which an interrupted search goes on; None: it does not.

        Raises:
            ValueError: See `quantize`.
        """
        batches = [batch for _, batch in batches_of(images, self.info)]
        begin, graph = time.monotonic(), None
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            path = Path(folder, 'graph.onnx')
            if candidate.method in (FLOAT, NNCF):
                self._write_float(path)
                if candidate.method == NNCF:
                    quantize_onnx(path, path, batches)
                search_s = time.monotonic() - begin
            else:
                graph = quantize(self.graph, batches, candidate.settings(), work)
                search_s = time.monotonic() - begin
                if candidate.is_executed:
                    write_quantized(graph, self.info, path, self.image_size)
            if candidate.is_executed:
                convert_onnx(path, file, self.info.to_json(), half_weights=False)
        return Quantized(graph, search_s)

    def details(self, quantized: Quantized, file: Path | None) -> Details:
        """What is measured once for each candidate, on the examples.

        Args:
            quantized: The candidate.
            file: Its `.xml`; None if it is simulated.
        """
        difference = floor = share = size = None
        if quantized.graph is not None:
            floor = self._floor(quantized.graph)
        if file is not None:
            size = sum(file.with_suffix(suffix).stat().st_size for suffix in ('.xml', '.bin'))
            scheme = quantized.graph.scheme if quantized.graph is not None else self._float_scheme
            share = int8_share(scheme, site_executions(scheme, file, PRECISION))
            if quantized.graph is not None:
                difference = self._runtime_difference(quantized.graph, file.parent)
        return Details(share, size, difference, floor)

    def _write_float(self, path: Path) -> None:
        """The network in float, its nodes named after their sites."""
        write_onnx(self.graph, self.info, path, self.image_size)
        model = onnx.load(path)
        name_nodes(model, self._float_scheme.sites)
        onnx.save(model, path)

    @cached_property
    def _float_scheme(self) -> Scheme:
        sites, _, unknown = find_sites(copy.deepcopy(self.graph), torch.from_numpy(self.examples[0]))
        return Scheme(FLOAT, 32, EXECUTABLE, sites, unknown=unknown)

    def _runtime_difference(self, quantized: QuantizedGraph, folder: Path) -> float:
        """Mean difference of the heads' outputs between the runtime and the simulation."""
        differences: list[float] = []
        session = None
        for example in self.examples:
            images = torch.from_numpy(example)
            regions = self.graph.regions(images)
            heads = HeadsOfRegions(quantized, regions, images).eval()  # as the exporter leaves it
            with tempfile.TemporaryDirectory(dir=folder) as temporary, torch.no_grad():
                if session is None or regions is not None:  # regions are constants of a file
                    path = Path(temporary, 'heads.onnx')
                    write_onnx(heads, self.info, path, self.image_size)
                    session = OpenVINOSession(path, PRECISION)
                simulated = dict(zip(heads.output_names, heads(images), strict=True))
            differences.append(relative_difference(session(example), _arrays(simulated)))
        return float(np.mean(differences))

    def _floor(self, quantized: QuantizedGraph) -> float:
        """Mean difference of the heads' outputs that rounding noise makes in the simulation."""
        generator = torch.Generator().manual_seed(0)

        def disturb(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            return output * (1 + NOISE * torch.randn(output.shape, generator=generator))

        layers = [module for module in quantized.graph.modules() if isinstance(module, nn.Conv2d)]
        differences: list[float] = []
        for images in map(torch.from_numpy, self.examples):
            regions = self.graph.regions(images)
            exact = _arrays(quantized.head_outputs(images, regions))
            hooks = [layer.register_forward_hook(disturb) for layer in layers]
            try:
                disturbed = _arrays(quantized.head_outputs(images, regions))
            finally:
                for hook in hooks:
                    hook.remove()
            differences.append(relative_difference(disturbed, exact))
        return float(np.mean(differences))


def _arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in tensors.items()}


def trained_checkpoint(folder: Path) -> Path:
    """The last checkpoint of a training.

    Raises:
        FileNotFoundError: There is none.
    """
    found = latest_checkpoint(folder)
    if found is None:
        raise FileNotFoundError(f'{folder} has no checkpoint: its training failed; see error.txt there')
    return Path(found)
