"""What one call of `tools/search.py` does, from the problem to the report."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.logging import MMLogger

from .candidates import Prepare
from .finish import finish
from .latency.check import check_predictions
from .problem import Problem, Requirements
from .report import Findings, unique, write_report
from .search import Search, Settings
from .statistics import Duel, correlations, front_volume

RANDOM = 'random'


@dataclass(frozen=True)
class Command:
    """What is asked for.

    Attributes:
        problem: What is searched.
        requirements: What the network must keep.
        settings: How it is searched.
        samplers: The first searches; the others propose as many networks, to be compared.
        seeds: Likewise.
        correlate: Random networks that are trained in full, to see which cheap score ranks them.
        check_latency: Whether predicted latencies are checked.
        propose_only: Whether nothing is trained and exported in the end.
        text: The command line, which the report states.
    """

    problem: Problem
    requirements: Requirements
    settings: Settings
    samplers: tuple[str, ...]
    seeds: tuple[int, ...]
    correlate: int
    check_latency: bool
    propose_only: bool
    text: str


def run(command: Command, prepare: Prepare, work_dir: Path, shared: Path | None = None) -> Path:
    """Search, and report; returns the page.

    Args:
        command: What is asked for.
        prepare: Of all configs: to the data that there are.
        work_dir: Keeps everything.
        shared: See `Search`.

    Raises:
        ValueError: No network keeps the requirements; the message says what the fastest one is.
    """
    MMLogger.get_current_instance().setLevel('WARNING')  # trainings have logs of their own
    search = Search(command.problem, command.requirements, command.settings, prepare, work_dir, shared=shared)
    findings = Findings(search.propose(), [], command=command.text)
    if command.check_latency and search.indicators.table is not None:
        precision = command.problem.space.precisions[0]
        findings.latency_check = check_predictions(search.indicators.table, precision).table()
    findings.duels = _duels(search, command)
    if findings.duels:
        findings.random = search.propose(RANDOM, command.seeds[0])
    if not command.propose_only:
        finalists = search.climb(findings.proposed)
        if command.correlate:
            search.train_for_correlation(findings.proposed, command.correlate)
            finalists = search.best_trained(len(finalists))  # of these, too
        findings.hand_made = search.look_at_hand_made()
        findings.best = finish(search, finalists, findings.hand_made)
    networks = unique(findings.proposed)
    findings.correlations = correlations(networks, sorted({*command.problem.rungs, command.problem.proposal_length}))
    return write_report(search, findings)


def _duels(search: Search, command: Command) -> list[Duel]:
    """Each sampler against random search, over the seeds of both."""
    if RANDOM not in command.samplers or len(command.samplers) < 2:
        return []
    limit_ms = command.requirements.limits['latency_ms']
    volumes = {
        sampler: {seed: front_volume(search.propose(sampler, seed), limit_ms) for seed in command.seeds}
        for sampler in command.samplers
    }
    return [Duel(sampler, found, volumes[RANDOM]) for sampler, found in volumes.items() if sampler != RANDOM]
