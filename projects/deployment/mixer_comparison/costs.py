"""What token mixers cost against the number of tokens: time, memory, multiply-adds."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from projects.efficient_models.backbones.mixer_pyramid import MAX_SCORE_BYTES, score_bytes
from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms
from projects.efficient_models.token_mixers import TOKEN_MIXERS, build_token_mixer

from ..benchmark.results import Results
from ..benchmark.run import Note, Settings, question_of, run_benchmark
from ..benchmark.subjects import open_subject
from ..benchmark.timing import Measurement, Quartiles

FOLDER = 'costs'
KERNELS = {
    'eager': ('eager', 'fp32'),
    'onnxruntime': ('onnxruntime', 'fp32'),
    'openvino': ('openvino', 'fp32'),
    'openvino-bf16': ('openvino', 'bf16'),
    'eager-bf16': ('eager', 'bf16'),
    'eager-fp16': ('eager', 'fp16'),
}
"""Runtime and precision by the name that both have on the command line."""
CPU_KERNELS = ('eager', 'onnxruntime', 'openvino', 'openvino-bf16')
GPU_KERNELS = ('eager', 'eager-bf16', 'eager-fp16')


@dataclass(frozen=True)
class Plan:
    """What is measured: every mixer at every number of tokens by all kernels.

    Attributes:
        mixers: Keys of `TOKEN_MIXERS`.
        tokens: Numbers of tokens, squares: maps are as high as they are wide.
        kernels: Keys of `KERNELS`.
        channels: Of the maps.
        threads: Of the processor.
        device: 'cpu' or 'cuda'.
        seconds: For which each mixer is timed, at one number of tokens by one of the kernels.
        memory: Whether peak memory is measured, too, in a process for each.
        cpu_time: Whether time of the processor is measured, which other work hardly prolongs, and not the time that
            passes.

    Raises:
        ValueError: Something is unknown, or a number is not what is expected.
    """

    mixers: tuple[str, ...]
    tokens: tuple[int, ...] = (256, 1024, 4096, 16384)
    kernels: tuple[str, ...] = CPU_KERNELS
    channels: int = 128
    threads: int = 1
    device: str = 'cpu'
    seconds: float = 0.5
    memory: bool = True
    cpu_time: bool = False

    def __post_init__(self) -> None:
        for name in ('mixers', 'tokens', 'kernels'):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f'{name} are {list(given)}; expected one or more, each once')
        on_device = (*CPU_KERNELS, 'eager-bf16') if self.device == 'cpu' else GPU_KERNELS
        for given, known in ((self.mixers, TOKEN_MIXERS), (self.kernels, on_device)):
            if unknown := [name for name in given if name not in known]:
                raise ValueError(f'unknown {", ".join(unknown)}; expected some of {", ".join(known)}')
        if odd := [number for number in self.tokens if number < 1 or math.isqrt(number) ** 2 != number]:
            raise ValueError(f'tokens are {odd}; expected squares, such as 256, 1024, 4096 and 16384')
        self.too_large()  # builds all mixers, which refuse channels that they cannot share

    def too_large(self) -> dict[str, dict[int, int]]:
        """Bytes of the scores that are not computed, by mixer and number of tokens: more than `MAX_SCORE_BYTES`."""
        found: dict[str, dict[int, int]] = {}
        for mixer in self.mixers:
            for number in self.tokens:
                if (needed := self.score_bytes(mixer, number)) > MAX_SCORE_BYTES:
                    found.setdefault(mixer, {})[number] = needed
        return found

    def score_bytes(self, mixer: str, tokens: int) -> int:
        """Bytes of a mixer's scores for one map."""
        return score_bytes(mixer, self.channels, math.isqrt(tokens), math.isqrt(tokens))


@dataclass(frozen=True)
class Cost:
    """What a mixer takes for one map.

    Attributes:
        mixer: Its name.
        tokens: Of the map.
        kernels: What computed.
        latency_ms: Quartiles over the rounds.
        memory_mb: What opening and calling it adds to a process at most, or to the GPU's memory; None: not measured.
    """

    mixer: str
    tokens: int
    kernels: str
    latency_ms: Quartiles
    memory_mb: float | None


def measure_costs(plan: Plan, folder: Path, note: Note) -> None:
    """Measure what is not there yet: one file for each number of tokens and kernels, in which mixers take turns.

    Args:
        plan: What.
        folder: Of the comparison; `costs/` is made in it.
        note: Told what is being done, and which share of that is done.

    Raises:
        ValueError: None of the mixers can be computed at some number of tokens.
    """
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    too_large = plan.too_large()
    for number in plan.tokens:
        size = (math.isqrt(number), math.isqrt(number))
        texts = [f'mixer:{name}/{plan.channels}' for name in plan.mixers if number not in too_large.get(name, {})]
        if not texts:
            raise ValueError(f'at {number} tokens the scores of {", ".join(plan.mixers)} do not fit in memory')
        subjects = [open_subject(text, size, fold_batch_norms) for text in texts]
        for kernels in plan.kernels:
            runtime, precision = KERNELS[kernels]
            settings = Settings(
                runtimes=(runtime,),
                precisions=(precision,),
                batch_sizes=(1,),
                threads=(plan.threads,),
                device=plan.device,
                seconds=plan.seconds,
                memory=plan.memory,
                cpu_time=plan.cpu_time,
            )
            results = Results(folder / FOLDER / f'{number}_{kernels}.json', question_of(texts, size, settings))
            run_benchmark(subjects, settings, results, partial(_note, note, number))
            results.save()


def _note(note: Note, number: int, doing: str, done: float) -> None:
    note(f'{number:,} tokens, {doing}', done)


def read_costs(folder: Path) -> list[Cost]:
    """Return all that was measured, by kernels, mixer and number of tokens."""
    found = []
    for path in sorted((folder / FOLDER).glob('*.json')):
        number, kernels = path.stem.split('_', 1)
        data = json.loads(path.read_text(encoding='utf-8'))
        measured = (Measurement.from_json(one) for step in data['measurements'].values() for one in step)
        for one in measured:
            mixer = one.case.subject.partition('/')[0]
            found.append(Cost(mixer, int(number), kernels, one.latency_ms, data['memory_mb'].get(str(one.case))))
    order = {name: place for place, name in enumerate([*KERNELS, *TOKEN_MIXERS])}
    return sorted(found, key=lambda cost: (order[cost.kernels], order.get(cost.mixer, 0), cost.tokens))


def read_failures(folder: Path) -> dict[str, str]:
    """Return why mixers were left out that should have been measured, by kernels, tokens and mixer."""
    failed: dict[str, str] = {}
    for path in sorted((folder / FOLDER).glob('*.json')):
        number, kernels = path.stem.split('_', 1)
        reasons = json.loads(path.read_text(encoding='utf-8'))['left_out']
        failed |= {f'{kernels}, {int(number):,} tokens: {case}': reason for case, reason in reasons.items()}
    return failed


def describe_machine(folder: Path) -> str:
    """Say on what, and how, the costs were measured; '' if none were."""
    texts = []
    for path in sorted((folder / FOLDER).glob('*.json')):
        data = json.loads(path.read_text(encoding='utf-8'))
        machine, question = data['machine'], data['question']
        device = machine['gpu'] if question['device'] == 'cuda' else machine['processor']
        versions = ', '.join(f'{name} {version}' for name, version in machine['versions'].items())
        instructions = ' '.join(machine['instructions'])
        texts.append(
            f'{device} ({machine["cores"]} cores; {instructions}), {question["threads"][0]} of them used; {versions}; '
            f'{data["begun"][:10]}.'
        )
    return ' '.join(dict.fromkeys(texts))


def growth(costs: Sequence[Cost]) -> float | None:
    """The power of the number of tokens with which time grows, between the two largest numbers; None of fewer.

    Args:
        costs: Of one mixer by one of the kernels.
    """
    ordered = sorted(costs, key=lambda cost: cost.tokens)
    if len(ordered) < 2:
        return None
    (first, last) = ordered[-2:]
    return math.log(last.latency_ms.median / first.latency_ms.median) / math.log(last.tokens / first.tokens)


def count_macs(mixer: str, channels: int, tokens: int) -> int:
    """Multiply-adds of a mixer for one square map, by its formula."""
    with torch.device('meta'):
        return build_token_mixer(mixer, channels).macs(math.isqrt(tokens), math.isqrt(tokens))
