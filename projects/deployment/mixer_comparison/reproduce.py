"""The commands that made a comparison, from what it holds."""

import shlex
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from projects.efficient_models.token_mixers import TOKEN_MIXERS

from .costs import CPU_KERNELS, GPU_KERNELS, Plan
from .learning import Learned

ROOT = Path(__file__).resolve().parents[3]  # the project's folder


def commands(plan: Plan, learned: Sequence[Learned], folder: Path) -> list[str]:
    """Write the command lines of `tools/compare_mixers.py` that measure and train what a comparison holds.

    Args:
        plan: Of its costs.
        learned: What was trained, by task; it may be less than was to be.
        folder: Of the comparison; one outside of the project's is given by its name alone.

    Returns:
        A command for each task that was trained, as each has a length of its own; one for the costs if none was.
    """
    place = folder.resolve()
    name = place.relative_to(ROOT).as_posix() if place.is_relative_to(ROOT) else place.name
    measured = ['tools/compare_mixers.py', *_cost_options(plan), '--work-dir', name]
    by_task = [list(group) for _, group in groupby(learned, lambda one: one.task)] or [[]]
    return [shlex.join([*measured, *_learning_options(group)]) for group in by_task]


def _cost_options(plan: Plan) -> list[str]:
    """All settings of a plan but those that hold without being said."""
    kernels = GPU_KERNELS if plan.device == 'cuda' else CPU_KERNELS
    lists: list[tuple[str, Sequence[object], Sequence[object]]] = [
        ('--mixers', plan.mixers, tuple(TOKEN_MIXERS)),
        ('--tokens', plan.tokens, Plan.tokens),
        ('--kernels', plan.kernels, kernels),
        ('--channels', [plan.channels], [Plan.channels]),
        ('--threads', [plan.threads], [Plan.threads]),
        ('--device', [plan.device], [Plan.device]),
        ('--seconds', [f'{plan.seconds:g}'], [f'{Plan.seconds:g}']),
    ]
    options = [part for option, values, usual in lists if values != usual for part in (option, *map(str, values))]
    return options + ['--cpu-time'] * plan.cpu_time + ['--no-memory'] * (not plan.memory)


def _learning_options(learned: Sequence[Learned]) -> list[str]:
    """Settings of the trainings of one task, all of them."""
    if not learned:
        return []
    names = [name for name in TOKEN_MIXERS if name in {one.mixer for one in learned}]
    seeds = sorted({seed for one in learned for seed in one.scores})
    length, images = learned[0].length, learned[0].images
    options = ['--learn', learned[0].task, '--learn-mixers', *names, '--seeds', *map(str, seeds)]
    return [*options, '--length', str(length), '--images', str(images)]
