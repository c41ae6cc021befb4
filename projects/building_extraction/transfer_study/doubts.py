"""Why a study's figures may say little: networks that are not above no learning, or have not finished learning."""

from projects.reporting.number_format import fixed
from projects.training.experiments.intervals import summarize

from ..height_classes import OVERALL
from .records import MAIN, Results
from .results import finished_runs

RISE = (
    0.5  # points of F1 from the best of all validations but the last to the last, from which a curve counts as rising
)
CLEAR = 5.0  # points of F1 above the best baseline, from which a network counts as having learnt
SIGNIFICANT = 0.05


def doubts(results: Results) -> list[str]:
    """Return a sentence on methods that are not clearly above no learning at all, and one on those still learning."""
    return [text for text in (_not_above(results), _still_rising(results)) if text]


def best_baseline(results: Results) -> str | None:
    """Return the baseline with the highest mean F1 overall, None without any."""
    means = {
        method.name: results.spread(MAIN, method.name, OVERALL).mean
        for method in results.study.methods
        if not method.trained
    }
    known = {name: mean for name, mean in means.items() if mean is not None}
    return max(known, key=lambda name: known[name], default=None)


def _not_above(results: Results) -> str:
    baseline = best_baseline(results)
    if baseline is None:
        return ''
    titles = {method.name: method.title for method in results.study.methods}
    weak = []
    for method in results.study.methods:
        difference = results.difference(method.name, baseline, OVERALL)
        if not method.trained or difference is None:
            continue
        sure = difference.p is None or difference.p < SIGNIFICANT  # of one replicate, which is said elsewhere
        if difference.mean < CLEAR or not sure:
            weak.append(f'{method.title} ({fixed(difference.mean, signed=True)})')
    if not weak:
        return ''
    score = results.spread(MAIN, baseline, OVERALL).mean
    return (
        f'"{titles[baseline]}", which learns nothing from images, scores {fixed(score)} F1 on these test sets; not '
        f'clearly (surely, and by {CLEAR:g} points) above that: {", ".join(weak)}. What such networks '
        'score says little of the methods.'
    )


def _still_rising(results: Results) -> str:
    rising = []
    for method in results.study.methods:
        rises = []
        for run in finished_runs(results.runs, MAIN, method.name).values():
            curve = [value for _, value in sorted(run.f1_curve.items()) if value is not None]
            if len(curve) > 1:
                rises.append(curve[-1] - max(curve[:-1]))
        mean = summarize(rises).mean
        if mean is not None and mean > RISE:
            rising.append(f'{method.title} ({fixed(mean, signed=True)})')
    if not rising:
        return ''
    return (
        f'Not trained to the end: the last validation is still more than {RISE} points of F1 above the best one before '
        f'it for {", ".join(rising)}. With more steps their order may change.'
    )
