"""What the numbers say about the paper's claim that supervised domain adaptation (SDA) beats KD and DML."""

from collections.abc import Sequence
from dataclasses import dataclass

from projects.reporting.number_format import NOTHING, fixed, with_spread
from projects.reporting.tables import Table

from ..height_classes import OVERALL, UNKNOWN
from .comparison import (
    CLEAR_STANDARD_ERRORS,
    JUDGED,
    LOSS,
    NO_SEED,
    ONE_SEED,
    WIN,
    WITHIN,
    Comparison,
    chance_of_clear,
    compare,
)
from .records import MAIN, Results
from .results import method_titles, scores_by_seed, uses_source

CLAIMED, RIVALS, TEACHER = 'sda', ('kd', 'dml'), 'teacher'
CONTROL = 'student_long'  # the target alone, with the steps of teacher and SDA together
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
class Verdict:
    """An answer and what it rests on.

    Attributes:
        answer: One sentence or two.
        findings: One sentence per height class and rival, and about the teacher.
        rule: How differences were judged, and how far the rule can be trusted.
        tables: Differences to every other method, and the published figures beside ours.
    """

    answer: str
    findings: list[str]
    rule: str
    tables: list[Table]


def judge_study(results: Results) -> Verdict:
    """Judge the claim on the main domain, from F1 of the runs with common seeds.

    Args:
        results: Of `read_results`.
    """
    titles = method_titles(results.study)
    absent = [name.upper() for name in (CLAIMED, *RIVALS) if name not in titles]
    if CLAIMED not in titles or len(absent) == len(RIVALS):
        answer = f'No verdict: the claim compares SDA with KD and DML, and this study has no {" and no ".join(absent)}.'
        return Verdict(answer, [], _rule(0, 0), [_published_table(results)])
    rivals = [name for name in RIVALS if name in titles]
    classes = [name for name in results.classes if name not in (OVERALL, UNKNOWN)]
    outcomes = {name: {rival: _compare(results, CLAIMED, rival, name) for rival in rivals} for name in classes}
    findings = [_finding(results, rival, name, outcomes[name][rival]) for name in classes for rival in rivals]
    if TEACHER in titles:
        learners = [name for name in (CLAIMED, *rivals) if name in titles]
        findings += [
            _teacher_finding(titles[name], titles[TEACHER], _against_teacher(results, name)) for name in learners
        ]
    if CONTROL in titles:
        findings.append(_control_finding(titles[CONTROL], _compare(results, CLAIMED, CONTROL, OVERALL)))
    findings += [
        f'{titles[rival]} uses no source domain in this study: its distance from SDA is also what the source is worth.'
        for rival in rivals
        if not uses_source(results.study, rival)
    ]
    others = [name for name in titles if name != CLAIMED]
    judged = [_compare(results, CLAIMED, other, name) for other in others for name in results.classes]
    judged = [comparison for comparison in judged if comparison.outcome in JUDGED]
    note = f' KD and DML are both needed for the whole claim; {absent[0]} is not in this study.' if absent else ''
    return Verdict(
        answer=_answer(outcomes, [titles[rival] for rival in rivals], titles) + note,
        findings=findings,
        rule=_rule(min((comparison.n for comparison in judged), default=0), len(judged)),
        tables=[_difference_table(results, others), _published_table(results)],
    )


def _answer(outcomes: dict[str, dict[str, Comparison]], rivals: Sequence[str], titles: dict[str, str]) -> str:
    won, lacking, unjudged = [], [], []
    for name, comparisons in outcomes.items():
        found = {rival: comparison.outcome for rival, comparison in comparisons.items()}
        shortfalls = [f'{o} against {titles[r]}' for r, o in found.items() if o in (LOSS, WITHIN)]
        if shortfalls:
            lacking.append(f'{name} ({", ".join(shortfalls)})')
        elif all(outcome == WIN for outcome in found.values()):
            won.append(name)
        else:
            reasons = dict.fromkeys(outcome for outcome in found.values() if outcome not in JUDGED)
            unjudged.append(f'{name} ({", ".join(reasons)})')
    both = _listed(rivals)
    unknown = f' It cannot be judged for {_listed(unjudged)}.' if unjudged else ''
    if not won and not lacking:
        return f'No verdict yet on whether SDA beats {both}: no height class has enough finished runs.{unknown}'
    if lacking:
        wins = f'it does so for {_listed(won)}, but not' if won else 'it does so in no class: not'
        return f'No: SDA does not clearly beat {both} in every height class; {wins} for {_listed(lacking)}.{unknown}'
    if unjudged:
        return f'As far as it can be judged, yes: SDA clearly beats {both} for {_listed(won)}.{unknown}'
    return f'Yes: SDA clearly beats {both} in every height class: {_listed(won)}.'


def _finding(results: Results, rival: str, height_class: str, comparison: Comparison) -> str:
    title = method_titles(results.study)[rival]
    outcome = comparison.outcome
    if outcome == NO_SEED:
        return f'{height_class}: SDA cannot be compared with {title}; no seed has finished, or has a score, with both.'
    if outcome == ONE_SEED:
        figure = f'{fixed(comparison.mean, signed=True)} points of F1'
        return (
            f'{height_class}: SDA differs from {title} by {figure}; one seed only, so there is no spread to judge by.'
        )
    words = {
        WIN: 'SDA clearly beats {}',
        LOSS: 'SDA is clearly worse than {}',
        WITHIN: "SDA and {} differ by no more than the seeds' spread",
    }[outcome]
    return f'{height_class}: {words.format(title)}: {_difference(comparison)} points of F1.'


def _teacher_finding(title: str, teacher: str, comparison: Comparison) -> str:
    outcome = comparison.outcome
    if outcome not in JUDGED:
        return f'overall: whether {title} passes the {teacher.lower()} cannot be judged; {outcome}.'
    words = {WIN: 'clearly passes', LOSS: 'stays clearly below', WITHIN: "is within the seeds' spread of"}[outcome]
    return f'overall: {title} {words} the {teacher.lower()}: {_difference(comparison)} points of F1.'


def _control_finding(title: str, comparison: Comparison) -> str:
    outcome = comparison.outcome
    if outcome not in JUDGED:
        return f'overall: whether SDA passes {title}, which has as many steps, cannot be judged; {outcome}.'
    words = {
        WIN: 'the source is worth more than the steps that it costs',
        LOSS: 'the steps spent on the source would have been worth more on the target',
        WITHIN: 'what SDA gains can be what more steps give',
    }[outcome]
    return f'overall: SDA against {title}, with as many steps: {_difference(comparison)} points of F1: {words}.'


def _rule(fewest: int, judged: int) -> str:
    rule = (
        f'Differences are paired: the same seed of both methods. One is called clear if its mean exceeds '
        f'{CLEAR_STANDARD_ERRORS} standard errors of the paired differences (sample standard deviation / √n), else it '
        f"is within the seeds' spread. The spread is that of training; other tiles, cities and views are not in it."
    )
    if not judged:
        return rule
    return rule + (
        f' With {fewest} seeds, the fewest here, the rule is lenient: where methods do not differ at all, chance alone '
        f'calls {chance_of_clear(fewest):.0%} of the differences clear. {judged} differences of SDA are judged here.'
    )


def _difference_table(results: Results, others: Sequence[str]) -> Table:
    titles = method_titles(results.study)
    rows = []
    for name in results.classes:
        comparisons = [_compare(results, CLAIMED, other, name) for other in others]
        if name == UNKNOWN and all(comparison.outcome == NO_SEED for comparison in comparisons):
            continue
        rows.append([name, *(_cell(comparison) for comparison in comparisons)])
    caption = 'F1 of SDA minus F1 of the other method, in points: paired mean ± standard deviation (n seeds), outcome'
    return Table(caption, ['height class', *(titles[other] for other in others)], rows)


def _published_table(results: Results) -> Table:
    titles, rows = method_titles(results.study), []
    for name in results.study.height_classes.names:
        means = {method: results.spread(MAIN, method, name).mean for method in titles}
        known = {method: mean for method, mean in means.items() if mean is not None}
        best = max(known, key=lambda method: known[method], default=None)
        published = fixed(PUBLISHED_F1[name]) if name in PUBLISHED_F1 else NOTHING
        rows.append([name, published, NOTHING if best is None else f'{fixed(known[best])} ({titles[best]})'])
    caption = 'Best F1 in percent: published for other images, and the best mean of this study'
    return Table(caption, ['height class', 'arXiv 2311.03867', 'this study'], rows)


def _compare(results: Results, method: str, other: str, height_class: str) -> Comparison:
    return compare(*(scores_by_seed(results.runs, MAIN, each, height_class) for each in (method, other)))


def _against_teacher(results: Results, method: str) -> Comparison:
    return _compare(results, method, TEACHER, OVERALL)


def _cell(comparison: Comparison) -> str:
    return NOTHING if comparison.outcome == NO_SEED else f'{_difference(comparison)}, {comparison.outcome}'


def _difference(comparison: Comparison) -> str:
    """'+3.2 ± 0.5 (n = 3)'."""
    assert comparison.mean is not None
    return f'{with_spread(comparison.mean, comparison.std, signed=True)} (n = {comparison.n})'


def _listed(names: Sequence[str]) -> str:
    return ' and '.join(filter(None, [', '.join(names[:-1]), *names[-1:]]))
