"""What the numbers say about the paper's claims on supervised domain adaptation (SDA), KD and DML, claim by claim."""

from dataclasses import dataclass

from projects.reporting.number_format import NOTHING, fixed
from projects.reporting.tables import Table
from projects.training.experiments.intervals import LEVEL

from ..height_classes import OVERALL
from .differences import Difference, holm
from .records import MAIN, Results
from .results import HALFWAY, method_titles

HOLDS, FAILS, UNDECIDED, UNJUDGED = 'holds', 'does not hold', 'not decided', 'cannot be judged'
SIGNIFICANT = 0.05
PUBLISHED_F1 = {'low-rise': 94.3, 'mid-rise': 86.8, 'high-rise': 91.2, 'skyscraper': 69.7}
CLAIM = (
    'Neupane, Aryal and Rajabifard (arXiv 2311.03867) claim that a student fine-tuned from the large noisy source to '
    'the small clean target (SDA) beats knowledge distillation (KD) and deep mutual learning (DML) for buildings of '
    'every height, and passes its teacher where students of KD and DML do not. Their best F1 are 0.943 for low-rise, '
    '0.868 for mid-rise, 0.912 for high-rise and 0.697 for skyscraper buildings. Their images are not free and their '
    "limits of the classes are not published: this study's differences between methods can be compared with theirs, "
    'its figures cannot.'
)


@dataclass(frozen=True)
class Claim:
    """That one method is above another, and what becomes of it.

    Attributes:
        text: The claim.
        paper: Whether it is the paper's; others are ours.
        difference: Of the method that is claimed to be above and the other; None if a replicate of both is missing.
        adjusted_p: Of no difference, for the number of claims.
    """

    text: str
    paper: bool
    difference: Difference | None
    adjusted_p: float | None = None

    @property
    def outcome(self) -> str:
        """Holds, does not hold, not decided, or cannot be judged."""
        if self.difference is None or self.adjusted_p is None:
            return UNJUDGED
        if self.adjusted_p >= SIGNIFICANT:
            return UNDECIDED
        return HOLDS if self.difference.mean > 0 else FAILS


@dataclass(frozen=True)
class Verdict:
    """An answer and what it rests on.

    Attributes:
        answer: One sentence or two.
        claims: One by one.
        rule: How differences were judged.
        tables: The claims, differences to every other method, and the published figures beside ours.
    """

    answer: str
    claims: list[Claim]
    rule: str
    tables: list[Table]


def judge_study(results: Results) -> Verdict:
    """Judge the paper's claims, and what the source is worth, on the main comparison.

    Args:
        results: Of `read_results`.
    """
    claims = _claims(results)
    p_values = {c.text: c.difference.p for c in claims if c.difference is not None and c.difference.p is not None}
    adjusted = holm(p_values)
    claims = [Claim(c.text, c.paper, c.difference, adjusted.get(c.text)) for c in claims]
    return Verdict(
        answer=_answer(claims),
        claims=claims,
        rule=_rule(results, len(adjusted)),
        tables=[
            *([_claim_table(claims)] if claims else []),
            *_difference_tables(results),
            *([_published_table(results)] if set(results.study.height_classes.names) & set(results.classes) else []),
        ],
    )


def _claims(results: Results) -> list[Claim]:
    titles = method_titles(results.study)
    heights_known = set(results.study.height_classes.names) & set(results.classes)
    classes = [OVERALL, *(results.study.height_classes.names if heights_known or not results.classes else ())]
    stated = [
        (True, above, below, f'{{}} beats {{}}: {name}', name)
        for above, below in (('sda', 'kd'), ('sda', 'dml'))
        for name in classes
    ]
    stated += [
        (True, 'sda', 'teacher', '{} passes its {}', OVERALL),
        (True, 'teacher', 'kd', '{} is not passed by {}', OVERALL),
        (True, 'teacher', 'dml', '{} is not passed by {}', OVERALL),
        (False, 'sda', 'student_long', '{} beats {}: the source is worth its steps', OVERALL),
        (False, 'kd', 'student_long', '{} beats {}: its teacher is worth its steps', OVERALL),
        (False, 'mixed', 'student_long', '{} beats {}: the source beside the target is worth its steps', OVERALL),
    ]
    stated += [
        (False, 'aligned', 'teacher', '{} beats {}: labels laid on the buildings teach more', OVERALL),
        (False, 'aligned_told', 'teacher', '{} beats {}: labels laid on the buildings teach more', OVERALL),
        (False, 'sda_aligned', 'sda', '{} beats {}: so does a teacher of such labels', OVERALL),
    ]
    claims = [
        Claim(text.format(titles[above], titles[below]), paper, results.difference(above, below, name))
        for paper, above, below, text, name in stated
        if above in titles and below in titles
    ]
    for method, (below, above) in HALFWAY:
        if titles.keys() >= {method, below, above}:
            text = f'{titles[method]} closes more than half of the gap from {titles[below]} to {titles[above]}'
            claims.append(Claim(text, False, results.difference(method, f'{below} and {above}', OVERALL)))
    return claims


def _answer(claims: list[Claim]) -> str:
    papers = [claim for claim in claims if claim.paper]
    if not papers:
        return 'No verdict: the paper compares SDA with KD and DML, and this study has not got them.'
    counts = {outcome: [c for c in papers if c.outcome == outcome] for outcome in (HOLDS, FAILS, UNDECIDED, UNJUDGED)}
    if len(counts[UNJUDGED]) == len(papers):
        return f'No verdict yet: none of the {len(papers)} claims of the paper has two finished replicates.'
    parts = [f'{len(found)} {_verb(outcome, len(found))}' for outcome, found in counts.items() if found]
    text = f'Of {len(papers)} claims of the paper {", ".join(parts)}.'
    worth = next((claim for claim in claims if 'the source is worth its steps' in claim.text), None)
    if worth is not None and worth.difference is not None:
        text += f' That the source is worth the steps that it costs {_said(worth)}.'
    return text


def _verb(outcome: str, number: int) -> str:
    one = number == 1
    return {
        HOLDS: 'holds' if one else 'hold',
        FAILS: 'does not hold' if one else 'do not hold',
        UNDECIDED: 'is not decided' if one else 'are not decided',
        UNJUDGED: 'cannot be judged',
    }[outcome]


def _said(claim: Claim) -> str:
    said = {UNDECIDED: 'is not decided', UNJUDGED: 'cannot be judged'}.get(claim.outcome, claim.outcome)
    return f'{said} ({difference_text(claim.difference)})'


def _rule(results: Results, number: int) -> str:
    fewer = f'for there being only {results.study.replicates} of them'
    return (
        'Differences are of F1 in points, from tiles counted together, on the same replicates and tiles. The '
        f'{LEVEL:.0%} intervals are of a hierarchical bootstrap: replicates are drawn anew, and the test tiles of '
        'each, which holds what scenes, partition of the ground, training and test tiles vary. '
        f"Student's t, with the replicates less one as degrees of freedom, makes up {fewer}. A claim holds, or does "
        f"not, if the p-value of no difference is below {SIGNIFICANT:g} once it is adjusted by Holm's method for the "
        f'{number} claims in the table; otherwise it is not decided. Intervals are not adjusted.'
    )


def _claim_table(claims: list[Claim]) -> Table:
    rows = [
        [
            claim.text,
            'the paper' if claim.paper else 'ours',
            difference_text(claim.difference),
            _p_text(claim.difference.p if claim.difference else None),
            _p_text(claim.adjusted_p),
            claim.outcome,
        ]
        for claim in claims
    ]
    columns = ['claim', 'whose', 'difference of F1, 95 % interval', 'p', 'p, Holm', 'outcome']
    return Table('Claims', columns, rows)


def _difference_tables(results: Results) -> list[Table]:
    titles = method_titles(results.study)
    if 'sda' not in titles:
        return []
    rows = []
    for other, title in titles.items():
        found = [results.difference('sda', other, name) for name in results.classes]
        if other != 'sda' and any(found):
            rows.append([title, *map(difference_text, found)])
    caption = 'F1 of SDA minus F1 of the other method, in points, with the 95 % interval; not adjusted'
    return [Table(caption, ['other method', *results.classes], rows)] if rows else []


def _published_table(results: Results) -> Table:
    rows = []
    for name in results.study.height_classes.names:
        means = {m.title: results.spread(MAIN, m.name, name).mean for m in results.study.methods if m.trained}
        known = {title: mean for title, mean in means.items() if mean is not None}
        best = max(known, key=lambda title: known[title], default=None)
        published = fixed(PUBLISHED_F1[name]) if name in PUBLISHED_F1 else NOTHING
        rows.append([name, published, NOTHING if best is None else f'{fixed(known[best])} ({best})'])
    caption = 'Best F1 in percent: published for other images, and the best mean of this study'
    return Table(caption, ['height class', 'arXiv 2311.03867', 'this study'], rows)


def difference_text(difference: Difference | None) -> str:
    """'+3.2 (+1.0 to +5.4)'; the number alone where there is no interval, a dash where there is neither."""
    if difference is None:
        return NOTHING
    mean = fixed(difference.mean, signed=True)
    if difference.low is None:
        return mean
    return f'{mean} ({fixed(difference.low, signed=True)} to {fixed(difference.high, signed=True)})'


def _p_text(p: float | None) -> str:
    return NOTHING if p is None else '< 0.001' if p < 0.001 else fixed(p, 3)
