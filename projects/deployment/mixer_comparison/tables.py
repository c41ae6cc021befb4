"""What was measured of token mixers, in tables and sentences."""

from collections.abc import Sequence

from projects.efficient_models.backbones.mixer_pyramid import MAX_SCORE_BYTES
from projects.efficient_models.token_mixers import TOKEN_MIXERS
from projects.reporting.number_format import NOTHING, counted, file_size, fixed, three_digits, with_spread
from projects.reporting.tables import Table

from .costs import Cost, Plan, count_macs, growth
from .learning import TASKS, Learned

LEVEL = 0.05
RULE = (
    "Differences are from softmax attention, of networks with the same seed, with the 95 % interval of Student's t on "
    'a bootstrap over seeds. Better and worse are said where the p-value, multiplied by the number of mixers that are '
    'compared at the task, is under 0.05; all others are not told apart, which does not say that they are alike.'
)
LIMITS = (
    'What such a study can rank: mechanisms from random weights, at this budget, on these generated images. What it '
    'cannot: networks that were trained on ImageNet and COCO, where what learns slowly has time. Nor does it '
    'say anything of the sizes of detection: images of 160 px have no more than 1,600 tokens in the first stage and 25 '
    'in the last, where a window of 7 covers nearly all of the map. A few seeds tell large differences alone.'
)


def time_table(plan: Plan, costs: Sequence[Cost], kernels: str) -> Table:
    """Milliseconds of every mixer by one of the kernels, and with which power of the number of tokens they grow."""
    columns = ['mixer', *(f'{number:,} tokens' for number in plan.tokens), 'grows as']
    too_large = plan.too_large()
    rows = []
    for mixer in plan.mixers:
        own = {cost.tokens: cost for cost in costs if (cost.mixer, cost.kernels) == (mixer, kernels)}
        power = growth([*own.values()])
        times = [
            three_digits(own[number].latency_ms.median)
            if number in own
            else 'stopped'
            if number in too_large.get(mixer, {})
            else NOTHING
            for number in plan.tokens
        ]
        rows.append([title(mixer), *times, NOTHING if power is None else f'N^{power:.1f}'])
    return Table(f'{kernels}, ms for one map of {plan.channels} channels', columns, rows, numeric=columns[1:])


def memory_table(plan: Plan, costs: Sequence[Cost]) -> Table:
    """Peak memory of every mixer at the largest number of tokens that it was computed at, by all kernels."""
    columns = ['mixer', *(f'{name}, MB' for name in plan.kernels), 'at tokens', 'scores, MiB', 'MACs, G']
    rows = []
    for mixer in plan.mixers:
        own = [cost for cost in costs if cost.mixer == mixer and cost.memory_mb is not None]
        if not own:
            continue
        most = max(cost.tokens for cost in own)
        by_kernels = {cost.kernels: cost.memory_mb for cost in own if cost.tokens == most}
        rows.append(
            [
                title(mixer),
                *(fixed(by_kernels.get(name), 0) for name in plan.kernels),
                f'{most:,}',
                fixed(plan.score_bytes(mixer, most) / 2**20, 0),
                three_digits(count_macs(mixer, plan.channels, most) / 1e9),
            ]
        )
    return Table('Peak memory, weights included', columns, rows, numeric=columns[1:])


def stopped(plan: Plan) -> list[str]:
    """Say which mixers were not computed at which numbers of tokens, and why."""
    return [
        f'{title(mixer)}: '
        + ', '.join(f'at {number:,} tokens its scores take {file_size(needed, 0)}' for number, needed in sizes.items())
        + f', of which {file_size(MAX_SCORE_BYTES, 0)} are accepted.'
        for mixer, sizes in plan.too_large().items()
    ]


def learning_table(task: str, learned: Sequence[Learned]) -> Table:
    """Scores of a task, the best mean first."""
    own = [one for one in learned if one.task == task]
    columns = ['mixer', TASKS[task].score, 'seeds', 'beside softmax', '95 %', 'p', 'verdict']
    rows = []
    for one in own:
        beside = one.beside
        interval = NOTHING
        if beside is not None and beside.low is not None:
            interval = f'{fixed(beside.low, signed=True)} to {fixed(beside.high, signed=True)}'
        rows.append(
            [
                title(one.mixer),
                with_spread(one.spread.mean, one.spread.std),
                str(one.spread.n),
                NOTHING if beside is None else fixed(beside.mean, signed=True),
                interval,
                NOTHING if beside is None or beside.p is None else fixed(beside.p, 3),
                verdict(one, own),
            ]
        )
    return Table(f'{TASKS[task].title}, {budget(own[0])}', columns, rows, numeric=columns[1:-1])


def budget(one: Learned) -> str:
    """How long it was trained, and on what it was scored."""
    return f'{counted(one.length, TASKS[one.task].unit)} each, scored on {counted(one.images, "new image")}'


def verdict(one: Learned, of_task: Sequence[Learned]) -> str:
    """Say whether a mixer is told apart from softmax attention, among all that are compared at a task; see `RULE`."""
    compared = sum(other.beside is not None for other in of_task)
    if one.beside is None:
        return NOTHING
    if one.beside.p is None or one.beside.p * compared >= LEVEL:
        return 'not told apart'
    return 'better' if one.beside.mean > 0 else 'worse'


def title(mixer: str) -> str:
    """Name of a mixer for people."""
    return TOKEN_MIXERS[mixer].mechanism.title


def scope(plan: Plan) -> str:
    """How the costs were measured."""
    return (
        f'{counted(len(plan.mixers), "mixer")} of {plan.channels} channels on one map, projections included; batch '
        'norms are folded but in eager. At each number of tokens and by each of the kernels the mixers take turns in '
        f'one process, for {plan.seconds:g} s each, on {counted(plan.threads, "thread")}; medians of the rounds'
        f'{", of the time of the processor" if plan.cpu_time else ""}. A 1x1 convolution from 3 channels stands before '
        'each. In eager, PyTorch computes softmax attention by one kernel that keeps no scores; the limit of scores is '
        'the same for all kernels, so that curves end at the same place.'
    )
