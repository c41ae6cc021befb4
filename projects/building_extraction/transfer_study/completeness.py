"""What a study lacks: runs that failed or are missing, replicates, buildings of a class."""

from .records import FAILED, FINISHED, MAIN, MISSING, Results, RunRecord
from .results import method_titles, status_counts
from .tables import without_buildings


def gaps(results: Results) -> list[str]:
    """Return a sentence on runs without a result, on too few replicates and on empty classes, each where it applies."""
    counts = status_counts(results)
    total = sum(counts.values())
    texts = []
    if counts[FINISHED] < total:
        rest = ', '.join(f'{count} {status}' for status, count in counts.items() if status != FINISHED and count)
        texts.append(f'Partial: {counts[FINISHED]} of {total} runs have finished, {rest}. All figures rest on these.')
    replicates = [len(each.replicates) for each in results.summary.get(MAIN, {}).values()]
    if replicates and max(replicates) == 1:
        texts.append('One replicate only: there is no standard deviation, and differences cannot be judged.')
    if empty := without_buildings(results):
        texts.append(f'The test sets hold no {" and no ".join(empty)} building: nothing is said of this class.')
    return texts


def failed_runs(results: Results) -> list[RunRecord]:
    """Return the runs that left an error."""
    return [run for run in results.runs if run.status == FAILED]


def missing_runs(results: Results) -> list[str]:
    """Return what has not run, as 'KD has not run: main (replicates 1, 2); angle-10 (replicate 0)', by method."""
    titles = method_titles(results.study)
    missing: dict[str, dict[str, list[str]]] = {}
    for run in results.runs:
        if run.status == MISSING:
            numbers = missing.setdefault(titles[run.about['method']], {}).setdefault(run.about['setting'], [])
            numbers.append(str(run.about['replicate']))
    return [
        f'{method} has not run: {"; ".join(_with_replicates(setting, them) for setting, them in settings.items())}'
        for method, settings in missing.items()
    ]


def last_line(error: str) -> str:
    """Return the last line of an error's text, which says what went wrong."""
    return (error.strip().splitlines() or ['failed without a message'])[-1]


def _with_replicates(setting: str, numbers: list[str]) -> str:
    return f'{setting} (replicate{"s" if len(numbers) > 1 else ""} {", ".join(numbers)})'
