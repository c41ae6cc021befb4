"""What a search leaves for people and programs: front.json, a chart, and one HTML page that holds all of it."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from projects.deployment.benchmark.machine import describe_machine
from projects.reporting.figures import png
from projects.reporting.markdown import document
from projects.reporting.number_format import counted, fixed, three_digits, with_spread
from projects.reporting.pages import render_page
from projects.reporting.tables import Table
from projects.storage.atomic_files import write_file
from projects.training.experiments.intervals import summarize

from .chart import draw_networks
from .finish import Best
from .front import pareto_front
from .networks import Network
from .problem import REQUIREMENTS
from .search import Search
from .statistics import ALPHA, LEAST_TAU, Correlation, Duel
from .trainings import WHOLE

NO_WEIGHTS = (
    'Networks of this space have no ImageNet weights: all that is compared here was trained from random ones. Where a '
    'network with published weights is at hand, compare it on your data as well.'
)
SMALL = (
    'Latencies are those of this machine. Scores of a small sample rank small differences by chance: look at the '
    'spread over the seeds, and search again on your own data.'
)


@dataclass
class Findings:
    """All that is reported.

    Attributes:
        proposed: In order, by the sampler of the search.
        hand_made: What people made.
        best: None if the search was not finished.
        correlations: Of cheap scores with the last one.
        duels: Against random search.
        latency_check: How well latencies are predicted; None if it was not looked at.
        random: Proposals of random search, of the first seed.
        command: What reproduces it all.
    """

    proposed: list[Network]
    hand_made: list[Network]
    best: Best | None = None
    correlations: list[Correlation] = field(default_factory=list)
    duels: list[Duel] = field(default_factory=list)
    latency_check: Table | None = None
    random: list[Network] = field(default_factory=list)
    command: str = ''


def write_report(search: Search, findings: Findings) -> Path:
    """Write `front.json`, `report.md`, `front.png` and `report.html` to the work dir; returns the page."""
    folder, problem = search.work_dir, search.problem
    networks = unique([*findings.proposed, *findings.hand_made])
    best = findings.best
    content = {
        'made_with': search.made_with,
        'machine': describe_machine(),
        'command': findings.command,
        'best': best.to_json() if best else None,
        'front': [network.candidate.deployed for network in front_of(networks)],
        'networks': {network.candidate.deployed: network.to_json() for network in networks},
        'correlations': [asdict(one) | {'verdict': one.verdict} for one in findings.correlations],
        'duels': [asdict(one) | {'wins': one.wins, 'p': one.p_value} for one in findings.duels],
    }
    write_file(folder / 'front.json', json.dumps(_without_infinity(content), indent=1))
    limit_ms = search.requirements.limits['latency_ms']
    chosen = best.network.candidate.deployed if best else ''
    random = [network for network in unique(findings.random) if network.proposal_score is not None]
    figure = draw_networks(networks, chosen, limit_ms, f'{problem.score}, %', random)
    picture = png(figure)
    write_file(folder / 'front.png', picture)
    tables = {
        'Found and made by hand': _trained_table(search, networks, best),
        'Pareto front of the proposals': _front_table(networks),
        'What was not trained, and why': _refused_table(networks),
        'Do cheap scores rank networks?': _correlation_table(findings.correlations),
        'Against random search': _duel_table(findings.duels),
        'Are latencies predicted?': findings.latency_check,
    }
    shown = {title: table for title, table in tables.items() if table is not None and table.rows}
    values: dict[str, Any] = {
        'answer': _answer(search, best),
        'limits': _limits(search),
        'notes': [*([NO_WEIGHTS] if problem.grows else []), SMALL],
        'machine': content['machine'],
    }
    parts = [f'# {problem.title}', values['answer'], values['limits']]
    for title, table in shown.items():
        parts += [f'## {title}', table]
    write_file(folder / 'report.md', document([*parts, '## Notes', *values['notes'], f'    {findings.command}']) + '\n')
    page = render_page(
        Path(__file__).with_name('page.html'),
        problem.title,
        **values,
        picture=picture,
        tables=shown,
        command=findings.command,
        best_command=best.command if best else '',
    )
    write_file(folder / 'report.html', page)
    return folder / 'report.html'


def unique(networks: Sequence[Network]) -> list[Network]:
    """Each network once, in order."""
    return list({network.candidate.deployed: network for network in networks}.values())


def front_of(networks: Sequence[Network]) -> list[Network]:
    """Feasible networks that none is better than in latency and in the score that all of them have."""
    scored = [network for network in networks if network.is_feasible and network.proposal_score is not None]
    return [scored[index] for index in pareto_front([(one.latency_ms, one.proposal_score or 0) for one in scored])]


def _answer(search: Search, best: Best | None) -> str:
    if best is None:
        return 'The search is not finished: the same command continues it.'
    spread = summarize(best.network.test.values())
    return (
        f'{best.network.candidate.name}: {search.problem.score} {with_spread(spread.mean, spread.std)} on the test set '
        f'({counted(spread.n, "seed")}), {three_digits(best.network.latency_ms)} ms, of which '
        f'{search.requirements.limits["latency_ms"]:g} are allowed. The file {best.file.name} scores '
        f'{fixed(best.exported_score)}, best.pth {fixed(best.test_score)}{_why_they_differ(best)}.'
    )


def _why_they_differ(best: Best) -> str:
    if fixed(best.exported_score) == fixed(best.test_score):
        return ''
    return (
        ': the file sees each image whole, at the size that it was exported for, and best.pth as the config says, at '
        "the image's own size or in crops"
    )


def _limits(search: Search) -> str:
    limits = [f'at most {limit:g} {REQUIREMENTS[name]}' for name, limit in search.requirements.limits.items()]
    if math.isfinite(search.requirements.least_score):
        limits.append(f'a score of at least {search.requirements.least_score:g}')
    settings, size = search.settings, search.indicators.conditions.image_size
    clock = 'time of the processor' if settings.cpu_time else 'time that passes'
    return (
        f'Asked for: {", ".join(limits)}; in {settings.runtime} on {counted(settings.threads, "thread")}, images of '
        f'{size[0]}x{size[1]} pixels at scale 1, {clock}. {len(search.problem.space):,} networks in the space.'
    )


def _trained_table(search: Search, networks: Sequence[Network], best: Best | None) -> Table:
    columns = ['network', 'by', 'precision', 'ms', 'params, M', 'MACs, G', 'held out, %', 'test, %', 'seeds']
    shown = sorted((one for one in networks if one.scores.get(WHOLE) or one.hand_made), key=lambda one: one.latency_ms)
    rows = []
    for one in shown:
        held_out, test = summarize(one.scores.get(WHOLE, {}).values()), summarize(one.test.values())
        why = '; '.join(one.violated.values()) or one.failed
        rows.append(
            [
                one.candidate.name,
                'hand' if one.hand_made else 'search',
                one.candidate.precision,
                three_digits(one.latency_ms) if math.isfinite(one.latency_ms) else '–',
                three_digits(one.indicators.get('params_m', math.nan)),
                three_digits(one.indicators.get('macs_g', math.nan)),
                with_spread(held_out.mean, held_out.std) if held_out.n else f'not trained: {why}',
                with_spread(test.mean, test.std) if test.n else '–',
                str(max(held_out.n, test.n)),
            ]
        )
    places = {
        (index, column) for index, one in enumerate(shown) for column in (0, 3, 7) if best and one is best.network
    }
    caption = f'{search.problem.score} after the whole training; the best stands out'
    return Table(caption, columns, rows, best=places, numeric=[*columns[3:6], columns[8]])


def _front_table(networks: Sequence[Network]) -> Table:
    columns = ['network', 'ms', 'cheap score, %', 'params, M', 'MACs, G']
    rows = [
        [
            one.candidate.name,
            three_digits(one.latency_ms),
            fixed(one.proposal_score),
            three_digits(one.indicators['params_m']),
            three_digits(one.indicators['macs_g']),
        ]
        for one in front_of(networks)
    ]
    return Table('Scored as they were proposed', columns, rows, numeric=columns[1:])


def _refused_table(networks: Sequence[Network]) -> Table:
    refused = [one for one in networks if not one.is_feasible and not one.hand_made]
    reasons = Counter(one.failed or f'above the limit: {", ".join(one.violated)}' for one in refused)
    rows = [[reason, str(number)] for reason, number in reasons.most_common()]
    return Table('', ['reason', 'networks'], rows, numeric=['networks'])


def _correlation_table(found: Sequence[Correlation]) -> Table:
    rows = [[one.fidelity, str(one.n), fixed(one.tau, 2), one.verdict] for one in found]
    caption = f"Kendall's tau with the score after the whole training; below {LEAST_TAU} a score does not rank"
    return Table(caption, ['score', 'networks', 'tau', 'so it'], rows, numeric=['networks', 'tau'])


def _duel_table(duels: Sequence[Duel]) -> Table:
    rows = []
    for duel in duels:
        own, other = summarize(duel.volumes.values()), summarize(duel.random.values())
        rows.append(
            [
                duel.sampler,
                with_spread(own.mean, own.std),
                with_spread(other.mean, other.std),
                f'{duel.wins} of {len(duel.volumes)}',
                f'{duel.p_value:.3f}',
                duel.verdict,
            ]
        )
    columns = ['sampler', 'hypervolume', 'of random search', 'larger in', 'p', 'so it is']
    caption = f'Hypervolume, ms times percent, with as many proposals; one-sided sign test, {ALPHA} asked for'
    return Table(caption, columns, rows, numeric=columns[1:5])


def _without_infinity(content: Any) -> Any:
    """JSON has no infinite numbers: null in their place."""
    if isinstance(content, dict):
        return {key: _without_infinity(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_infinity(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
