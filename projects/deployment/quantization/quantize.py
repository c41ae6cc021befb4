"""From a graph and images to a quantised graph."""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms
from projects.reporting.progress import track

from ..inference_graphs.images import ImageGraph
from .bridges import find_passages
from .calibration import check_images
from .discovery import find_sites
from .gauss_newton import probes
from .journal import Journal, digest_of
from .methods import METHODS
from .observation import Observed, observe
from .origins import find_origins, record
from .quantized_graph import QuantizedGraph
from .reconstruction import reconstruct
from .scheme import EXECUTABLE, Scheme, Site
from .settings import QuantizationSettings
from .units import Grids, units_of


def quantize(
    graph: ImageGraph,
    batches: Sequence[np.ndarray],
    settings: QuantizationSettings,
    folder: Path | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> QuantizedGraph:
    """Choose grids for a graph.

    Args:
        graph: From `build_graph`; left as it is.
        batches: Images to calibrate with, (B, H, W, 3) uint8 RGB, never those of the test set.
        settings: How.
        folder: Where to keep what was found, unit by unit; a search that was interrupted goes on from there.
        report: Is told about each step.

    Raises:
        ValueError: There are too few images, they are blank, nothing can be quantised, or the folder was made from
            something else.
    """
    check_images(batches)
    graph = _without_in_place(copy.deepcopy(graph))
    image = torch.from_numpy(batches[0][:1].copy())
    _fold_batch_norms(graph, image)
    method = METHODS[settings.method]
    report(f'calibrating on {sum(map(len, batches))} images')
    executable = settings.form == EXECUTABLE
    sites, kept, unknown = find_sites(graph, image, norms=method.rounds_norms and not executable)
    if method.prepare is not None:
        ranges = observe(graph, batches, sites, with_samples=False)
        method.prepare(graph, ranges, image, settings.bits)
    draw = probes(settings.seed) if method.needs_gradients else None
    observed = observe(graph, batches, [site for site in sites if site.name not in kept], probes=draw)
    kept |= unusable(sites, observed)
    chosen = [site for site in sites if site.name not in kept]
    if not chosen:
        raise ValueError('nothing of this network can be quantised: it has no convolution, linear layer or product')
    journal = Journal(folder, {**dataclasses.asdict(settings), 'inputs': digest_of(graph, batches)})
    found = Grids()
    passages = find_passages(graph, batches, settings.seed) if method.needs_gradients else {}
    origins = find_origins(record(graph, image))
    options = (settings.channelwise, passages, origins, executable, settings.weight_bits)
    units = units_of(graph, chosen, observed, settings.bits, *options)
    search = method.of_form(settings.form)
    scheme = Scheme(settings.method, settings.bits, settings.form, sites, kept_in_float=kept, unknown=unknown)
    report(f'{scheme.title}: {len(units)} layers and products')
    for unit in track(units, f'{settings.method}'):
        grids = journal.read(unit.name) or search(unit)
        journal.write(unit.name, grids)
        found.inputs.update(grids.inputs)
        found.weights.update(grids.weights)
        found.biases.update(grids.biases)
    exact_weights: dict[str, Tensor] = {}
    if settings.reconstruct:
        report('learning which way weights are rounded')
        learnt = reconstruct(graph, batches, units, found, settings.seed, journal)
        exact_weights = {name: graph.get_parameter(name).detach().clone() for name in learnt}
        for name, weight in learnt.items():
            graph.get_parameter(name).data.copy_(weight)
    scheme = dataclasses.replace(scheme, inputs=found.inputs, weights=found.weights)
    _add(graph, found.biases)
    return QuantizedGraph(graph, scheme, exact_weights)


def _add(graph: ImageGraph, biases: Mapping[str, tuple[float, ...]]) -> None:
    parameters = dict(graph.named_parameters())
    with torch.no_grad():
        for name, values in biases.items():
            parameters[name].add_(torch.tensor(values))


def _without_in_place(graph: ImageGraph) -> ImageGraph:
    """The same graph, whose activations leave what they read as it is."""
    for module in graph.modules():
        if getattr(module, 'inplace', False) is True:
            module.inplace = False  # type: ignore[assignment]
    return graph


class _Heads(nn.Module):
    """A graph up to what its heads say."""

    def __init__(self, graph: ImageGraph, regions: Any) -> None:
        super().__init__()
        self.graph, self.regions = graph, regions

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.graph.head_outputs(images, self.regions).values())


def _fold_batch_norms(graph: ImageGraph, image: Tensor) -> None:
    """Of heads, too, into the convolutions before them."""
    with torch.no_grad():
        regions = graph.regions(image)
    fold_batch_norms(_Heads(graph, regions), image.float())


def unusable(sites: Sequence[Site], observed: dict[str, Observed]) -> dict[str, str]:
    """Sites that stay in float for what reached them, with the reason."""
    reasons = {}
    for site in sites:
        seen = observed.get(site.name)
        if seen is not None and seen.is_empty:
            reasons[site.name] = 'nothing reached it on the images to calibrate with'
        elif seen is not None and not seen.is_finite:
            reasons[site.name] = 'infinite values, or none that are numbers, reached it'
    return reasons
