"""What needs no learning, and whether a study's networks are above it and have finished learning."""

from projects.reporting.number_format import fixed

from ..height_classes import OVERALL
from .comparison import WITHIN, compare, summarize
from .records import MAIN, Results
from .results import finished_runs, method_titles, scores_by_seed

EVERYTHING = 'everything a building'
RISE = 0.5  # points of F1 from the last but one validation to the last one, from which a curve counts as rising


def everything_a_building(results: Results) -> dict[str, float]:
    """Return the scores of pixels, in percent, of calling every pixel of the test set a building; empty if unknown.

    Precision is the share of building pixels p, recall 1, F1 = 2p / (1 + p), IoU = p. Only overall: which pixels count
    as false ones of a height class depends on where the others lie.
    """
    run = next((run for run in results.runs if run.counts and run.background_pixels is not None), None)
    if run is None:
        return {}
    counts = run.counts['pixels'].values()
    building = sum(count['tp'] + count['fn'] for count in counts)
    total = building + sum(count['fp'] for count in counts) + (run.background_pixels or 0)
    if not building:
        return {}
    share = building / total
    return {'f1': 200 * share / (1 + share), 'iou': 100 * share, 'precision': 100 * share, 'recall': 100.0}


def doubts(results: Results) -> list[str]:
    """Return a sentence on methods that are not clearly above no learning at all, and one on those still learning."""
    return [text for text in (_not_above(results), _still_rising(results)) if text]


def _not_above(results: Results) -> str:
    baseline = everything_a_building(results).get('f1')
    if baseline is None:
        return ''
    weak = []
    for method, title in method_titles(results.study).items():
        scores = scores_by_seed(results.runs, MAIN, method, OVERALL)
        comparison = compare(scores, dict.fromkeys(scores, baseline))
        if comparison.mean is not None and (comparison.mean <= 0 or comparison.outcome == WITHIN):
            weak.append(f'{title} ({fixed(comparison.mean, signed=True)})')
    if not weak:
        return ''
    return (
        f'Calling every pixel a building scores {fixed(baseline)} F1 on this test set; not clearly above that: '
        f'{", ".join(weak)}. What such networks score says little of the methods.'
    )


def _still_rising(results: Results) -> str:
    rising = []
    for method, title in method_titles(results.study).items():
        rises = []
        for run in finished_runs(results.runs, MAIN, method).values():
            curve = [value for _, value in sorted(run.f1_curve.items()) if value is not None]
            if len(curve) > 1:
                rises.append(curve[-1] - curve[-2])
        mean = summarize(rises).mean
        if mean is not None and mean > RISE:
            rising.append(f'{title} ({fixed(mean, signed=True)})')
    if not rising:
        return ''
    return (
        f'Not trained to the end: from the last but one validation to the last one F1 still rises by more than {RISE} '
        f'for {", ".join(rising)}. With more steps their order may change.'
    )
