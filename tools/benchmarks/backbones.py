"""Time and memory of the backbones beside timm's or the authors' formulation of the same networks.

    python tools/benchmarks/backbones.py --sizes 512x512 800x1280 --threads 1 2

Method: both formulations get the same weights, and first have to return the same maps. Then they run in turns, in one
process, on the same images: after two rounds of warm-up, the time of each round is taken, and the median is reported
with the quartiles. The ratio is the median of the rounds' ratios, which a slower phase of the machine leaves alone.
Inference is the forward pass in eval mode under `torch.inference_mode`; training is forward and backward pass in
training mode. Memory is the peak of all bytes that torch's allocator has handed out above those at the start of the
step, added up from the allocations and releases that `torch.profiler` records: outputs, activations kept for the
backward pass, gradients, and temporary tensors, but not the weights.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import accumulate, product
from pathlib import Path

import numpy as np
import timm
import torch
from authors_efficientmod import compute_like_authors
from timm.models.efficientvit_mit import LiteMLA
from torch import nn
from torch.profiler import ProfilerActivity, profile

from projects.efficient_models.backbones import (
    EfficientMod,
    EfficientViTMIT,
    EfficientViTMSRA,
    SHViT,
    TimmBackbone,
    TurboViT,
)
from projects.efficient_models.backbones.efficientvit_mit import ATTENTION_EPS
from projects.efficient_models.backbones.turbovit import resize_positions
from projects.reporting.progress import track
from projects.reporting.tables import Table

os.environ.setdefault('KINETO_LOG_LEVEL', '5')  # the profiler reports each start and stop otherwise

Pair = tuple[nn.Module, nn.Module]


def beside_authors(arch: str) -> Pair:
    """EfficientMod, and the same computed as its authors do."""
    network, reference = EfficientMod(arch), EfficientMod(arch)
    reference.load_state_dict(network.state_dict())
    return network, compute_like_authors(reference)


def beside_timm(network: nn.Module, timm_name: str, **options: int) -> Pair:
    """One of our networks, and timm's with the same weights."""
    reference = timm.create_model(timm_name, features_only=True, feature_cls='getter', **options)
    for module in reference.modules():
        if isinstance(module, LiteMLA):
            module.eps = ATTENTION_EPS  # the authors'; timm's makes another function of it
    network.load_state_dict({k: v for k, v in reference.model.state_dict().items() if not k.startswith('head.')})
    return network, reference


def beside_hiera(size: tuple[int, int]) -> Pair:
    """TurboViT, and timm's Hiera of the same size, positions and weights."""
    network = TurboViT('w64')
    reference = timm.create_model(
        'hiera_tiny_224', embed_dim=64, img_size=size, features_only=True, feature_cls='getter'
    )
    positions = network.patch_embed.pos_embed.data
    weights = {k: v for k, v in reference.model.state_dict().items() if not k.startswith('head.')}
    network.load_state_dict(weights | {'pos_embed': positions})
    reference.model.pos_embed.data = resize_positions(positions, size[0] // 4, size[1] // 4)
    return network, reference


def inside_timm_backbone(timm_name: str) -> Pair:
    """A network of timm in our wrapper, and in timm's."""
    network = TimmBackbone(timm_name)
    reference = timm.create_model(timm_name, features_only=True, feature_cls='getter')
    reference.model.load_state_dict(network.timm_model.state_dict())
    return network, reference


PAIRS: dict[str, Callable[[tuple[int, int]], Pair]] = {
    'SHViT s4': lambda _: beside_timm(SHViT('s4'), 'shvit_s4'),
    'EfficientViT-MSRA m4': lambda _: beside_timm(EfficientViTMSRA('m4'), 'efficientvit_m4', img_size=448),
    'EfficientViT-MSRA m5': lambda _: beside_timm(EfficientViTMSRA('m5'), 'efficientvit_m5', img_size=448),
    'EfficientViT-MIT b1': lambda _: beside_timm(EfficientViTMIT('b1'), 'efficientvit_b1'),
    'EfficientViT-MIT l1': lambda _: beside_timm(EfficientViTMIT('l1', norm_eps=1e-7), 'efficientvit_l1'),
    'EfficientMod s': lambda _: beside_authors('s'),
    'EfficientMod s_conv': lambda _: beside_authors('s_conv'),
    'TurboViT w64': beside_hiera,
    'TimmBackbone fastvit_sa12': lambda _: inside_timm_backbone('fastvit_sa12'),
}


def check_same_maps(pair: Pair, images: torch.Tensor) -> None:
    """Refuse to compare what does not compute the same."""
    with torch.inference_mode():
        for output, expected in zip(*(network.eval()(images) for network in pair), strict=True):
            error = (output - expected).abs().max() / expected.abs().mean()
            if not error < 1e-4:
                raise ValueError(f'The formulations differ: the maps deviate by {error:.1e} of their mean magnitude.')


def steps(network: nn.Module, images: torch.Tensor, training: bool) -> Callable[[], None]:
    """One step to measure."""
    network.train(training)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        with nullcontext() if training else torch.inference_mode():
            outputs = network(images)
        if training:
            torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])

    return step


def peak_memory_mib(step: Callable[[], None]) -> float:
    """The most that torch holds in a step above what it held before, in MiB."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == '[memory]']
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(changes)) / 2**20


def measure(pair: Pair, images: torch.Tensor, training: bool, rounds: int, clock: Callable[[], float]) -> Iterator[str]:
    """The cells of a row."""
    both = [steps(network, images, training) for network in pair]
    memory = [peak_memory_mib(step) for step in both]
    times_ms = np.empty((rounds, 2))
    for index in range(-2, rounds):
        for column in (0, 1) if index % 2 else (1, 0):
            start = clock()
            both[column]()
            if index >= 0:
                times_ms[index, column] = 1000 * (clock() - start)
    for low, median, high in np.quantile(times_ms, (0.25, 0.5, 0.75), axis=0).T:
        yield f'{median:.0f} ({low:.0f}–{high:.0f})'
    yield f'{np.median(times_ms[:, 0] / times_ms[:, 1]):.2f}'
    yield from (f'{peak:.0f}' for peak in memory)
    yield f'{memory[0] / memory[1]:.2f}'


def processor() -> str:
    """Its name."""
    lines = Path('/proc/cpuinfo').read_text().splitlines() if platform.system() == 'Linux' else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def main() -> None:
    """Measure, and print a row for each network, size, batch and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--networks', nargs='+', default=list(PAIRS), choices=PAIRS, metavar='NAME', help=', '.join(PAIRS)
    )
    parser.add_argument('--sizes', nargs='+', default=['512x512', '800x1280'], help='of the images, height x width')
    parser.add_argument('--batch-sizes', nargs='+', type=int, default=[1])
    parser.add_argument('--threads', nargs='+', type=int, default=[1])
    parser.add_argument('--rounds', type=int, default=11, help='timed steps of each formulation')
    parser.add_argument(
        '--cpu-time', action='store_true', help='time of the processor, not wall time: for busy machines'
    )
    args = parser.parse_args()

    clock = time.process_time if args.cpu_time else time.perf_counter
    settings = list(product(args.networks, args.sizes, args.batch_sizes, args.threads, (False, True)))
    print(f'Processor: {processor()}; torch {torch.__version__}, timm {timm.__version__}, {args.rounds} rounds\n')
    columns = ['network', 'images', 'threads', 'step']
    for unit in ('ms', 'MiB'):
        columns += [f'ours, {unit}', f'theirs, {unit}', 'ratio']
    print(Table('', columns, []).markdown())
    for name, size, batch_size, threads, training in track(settings, 'Measuring'):
        height, width = map(int, size.split('x'))
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        pair = PAIRS[name]((height, width))
        images = torch.randn(batch_size, 3, height, width)
        check_same_maps(pair, images)
        step = 'training' if training else 'inference'
        row = [name, f'{batch_size} x {size}', str(threads), step, *measure(pair, images, training, args.rounds, clock)]
        print(Table('', columns, [row]).markdown().splitlines()[-1], flush=True)


if __name__ == '__main__':
    main()
