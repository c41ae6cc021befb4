"""What a study lacks: runs that failed or are missing, seeds."""

from .records import FAILED, FINISHED, MAIN, MISSING, Results, RunRecord
from .results import method_titles, status_counts


def gaps(results: Results) -> list[str]:
    """Return a sentence on runs without a result and one on too few seeds, each where it applies."""
    counts = status_counts(results)
    total = sum(counts.values())
    texts = []
    if counts[FINISHED] < total:
        rest = ', '.join(f'{count} {status}' for status, count in counts.items() if status != FINISHED and count)
        texts.append(f'Partial: {counts[FINISHED]} of {total} runs have finished, {rest}. All figures rest on these.')
    seeds = [len(each.seeds) for each in results.summary[MAIN].values()]
    if seeds and max(seeds) == 1:
        texts.append('One seed only: there is no standard deviation, and differences cannot be judged.')
    return texts


def failed_runs(results: Results) -> list[RunRecord]:
    """Return the runs that left an error."""
    return [run for run in results.runs if run.status == FAILED]


def missing_runs(results: Results) -> list[str]:
    """Return what has not run, as 'KD has not run on main (seeds 1, 2); angle-10 (seed 0)', a line per method."""
    titles = method_titles(results.study)
    missing: dict[str, dict[str, list[str]]] = {}
    for run in results.runs:
        if run.status == MISSING:
            seeds = missing.setdefault(titles[run.about['method']], {}).setdefault(run.about['domain'], [])
            seeds.append(str(run.about['seed']))
    return [
        f'{method} has not run on {"; ".join(_with_seeds(domain, seeds) for domain, seeds in domains.items())}'
        for method, domains in missing.items()
    ]


def last_line(error: str) -> str:
    """Return the last line of an error's text, which says what went wrong."""
    return (error.strip().splitlines() or ['failed without a message'])[-1]


def _with_seeds(domain: str, seeds: list[str]) -> str:
    return f'{domain} (seed{"s" if len(seeds) > 1 else ""} {", ".join(seeds)})'
