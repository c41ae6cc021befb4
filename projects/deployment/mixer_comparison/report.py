"""What a comparison leaves for people: results.json, results.md, charts, and one HTML file that holds all of it."""

import dataclasses
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from projects.efficient_models.token_mixers import DESIGNS, READS, TOKEN_MIXERS
from projects.reporting.figures import png
from projects.reporting.markdown import Part, bullets, document
from projects.reporting.number_format import counted, fixed, with_spread
from projects.reporting.pages import render_page
from projects.storage.atomic_files import write_file
from projects.storage.parameters import differences

from .charts import draw_class, draw_mixer
from .costs import Cost, Plan, count_macs, describe_machine, read_costs, read_failures
from .learning import TASKS, Learned, read_learned
from .reproduce import ROOT, commands
from .tables import LIMITS, RULE, learning_table, memory_table, scope, stopped, time_table

TITLE = 'Token mixers side by side'
PLAN = 'plan.json'
ADDED = ('tokens', 'kernels')  # what may be measured later: each has a file of its own


@dataclasses.dataclass(frozen=True)
class Node:
    """A mixer on the map, and all that is known of it.

    Attributes:
        name: Key of `TOKEN_MIXERS`.
        mechanism: What it is.
        file: Its source file, from the project's folder.
        source: What stands in it.
        macs: Multiply-adds at each number of tokens, for people.
        scores: At each task that it was trained at, for people.
        curve: Its costs, as PNG; None if they were not measured.
    """

    name: str
    mechanism: Any
    file: str
    source: str
    macs: str
    scores: list[str]
    curve: bytes | None


def write_plan(plan: Plan, folder: Path) -> None:
    """Keep what is compared, for a report without measuring.

    Raises:
        ValueError: The folder holds what was measured of other mixers, or in another way; numbers of tokens and kernels
            may be added.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / PLAN).is_file():
        before = json.loads((folder / PLAN).read_text())
        if changed := differences(before, dataclasses.asdict(plan) | {name: before[name] for name in ADDED}):
            raise ValueError(
                f'{folder} holds another comparison ({"; ".join(changed)}); choose another --work-dir, or remove it'
            )
    write_file(folder / PLAN, json.dumps(dataclasses.asdict(plan), indent=1))


def read_plan(folder: Path) -> Plan:
    """Return what `write_plan` kept.

    Raises:
        FileNotFoundError: There is none.
    """
    file = folder / PLAN
    if not file.is_file():
        raise FileNotFoundError(f'no comparison in {folder}: run it without --report-only first')
    content: dict[str, Any] = json.loads(file.read_text())
    for name in ('mixers', 'tokens', 'kernels'):
        content[name] = tuple(content[name])
    return Plan(**content)


def write_report(plan: Plan, folder: Path) -> Path:
    """Write `results.json`, `results.md`, `charts/*.png` and `report.html` of what was measured so far.

    Args:
        plan: What is compared; what else was measured is left out.
        folder: Of the comparison.

    Returns:
        The HTML file.
    """
    costs = [cost for cost in read_costs(folder) if cost.mixer in plan.mixers and cost.tokens in plan.tokens]
    learned = [one for one in read_learned(folder) if one.mixer in plan.mixers]
    failed = [f'{case}: {reason}' for case, reason in read_failures(folder).items()]
    result = {
        'plan': dataclasses.asdict(plan),
        'costs': [dataclasses.asdict(one) | {'latency_ms': one.latency_ms._asdict()} for one in costs],
        'learned': [dataclasses.asdict(one) for one in learned],
        'stopped': plan.too_large(),
        'failed': failed,
    }
    write_file(folder / 'results.json', json.dumps(result, indent=1))
    times = [time_table(plan, costs, name) for name in plan.kernels if any(cost.kernels == name for cost in costs)]
    memory = memory_table(plan, costs)
    scores = [learning_table(task, learned) for task in TASKS if any(one.task == task for one in learned)]
    machine = describe_machine(folder)
    parts: list[Part] = [f'# {TITLE}', scope(plan), machine, *times, *([memory] if memory.rows else [])]
    parts += ['## Stopped', bullets(stopped(plan) or ['none']), '## Failed', bullets(failed or ['nothing'])]
    parts += ['## Learning', *scores, RULE, LIMITS] if scores else []
    write_file(folder / 'results.md', document(parts) + '\n')
    charts = {
        design: draw_class(costs, [name for name in plan.mixers if TOKEN_MIXERS[name].mechanism.design == design])
        for design in DESIGNS
    }
    pictures = {design: png(figure) for design, figure in charts.items() if figure is not None}
    (folder / 'charts').mkdir(parents=True, exist_ok=True)
    for design, picture in pictures.items():
        write_file(folder / 'charts' / f'{design}.png', picture)
    page = render_page(
        Path(__file__).with_name('page.html'),
        TITLE,
        scope=scope(plan),
        machine=machine,
        by_design=by_design(plan.mixers),
        by_reads=by_reads(plan.mixers),
        designs=DESIGNS,
        pictures=pictures,
        times=times,
        memory=memory if memory.rows else None,
        stopped=stopped(plan),
        failed=failed,
        scores=scores,
        rule=RULE,
        limits=LIMITS,
        nodes=[describe(name, plan, costs, learned) for name in plan.mixers],
        commands=commands(plan, learned, folder),
    )
    write_file(folder / 'report.html', page)
    return folder / 'report.html'


def by_design(mixers: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """The review's classes by design: titles of classes, in each its ideas, of each the mixers."""
    found: dict[str, dict[str, list[str]]] = {}
    for design, title in DESIGNS.items():
        for name in mixers:
            mechanism = TOKEN_MIXERS[name].mechanism
            if mechanism.design == design:
                found.setdefault(title, {}).setdefault(mechanism.idea, []).append(name)
    return found


def by_reads(mixers: Sequence[str]) -> dict[str, list[str]]:
    """What each position takes from: the mixers by titles of `READS`."""
    found: dict[str, list[str]] = {}
    for reads, title in READS.items():
        if names := [name for name in mixers if TOKEN_MIXERS[name].mechanism.reads == reads]:
            found[title] = names
    return found


def describe(name: str, plan: Plan, costs: Sequence[Cost], learned: Sequence[Learned]) -> Node:
    """Gather all that is known of a mixer."""
    file = Path(inspect.getfile(TOKEN_MIXERS[name])).resolve()
    curve = draw_mixer(costs, name)
    macs = ', '.join(
        f'{count_macs(name, plan.channels, number) / 1e9:.3g} G at {number:,} tokens' for number in plan.tokens
    )
    return Node(
        name=name,
        mechanism=TOKEN_MIXERS[name].mechanism,
        file=file.relative_to(ROOT).as_posix(),
        source=file.read_text(encoding='utf-8'),
        macs=macs,
        scores=[_score_text(one) for one in learned if one.mixer == name],
        curve=None if curve is None else png(curve),
    )


def _score_text(one: Learned) -> str:
    task = TASKS[one.task]
    beside = '' if one.beside is None else f', {fixed(one.beside.mean, signed=True)} beside softmax attention'
    seeds = counted(one.spread.n, 'seed')
    return f'{task.title}: {task.score} {with_spread(one.spread.mean, one.spread.std)} ({seeds}{beside})'
