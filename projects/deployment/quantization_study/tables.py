"""What a study found, as tables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from projects.reporting.number_format import NOTHING, counted, file_size, fixed, with_range, with_spread
from projects.reporting.tables import Table
from projects.training.experiments.intervals import Interval, summarize

from ..quantization.scheme import EXECUTABLE
from .intervals import paired_interval
from .plan import Study
from .records import FLOAT, Candidate, Cell, Latency, Measurement, Score

DIFFERENCES = ('fidelity', 'label', 'sqnr')
RULE = (
    'Better and worse are said only where the 95 % interval of the difference excludes 0. It is a hierarchical '
    'bootstrap: trainings, calibration sets of each, and test images are drawn with replacement, and both quantisers '
    "see the same draw. Student's t, with the trainings less one as degrees of freedom, makes up for there being few. "
    'With one training it is about that one, by percentiles; with one calibration set, about that set. Ratios '
    'are of the same images in every draw: one training with one calibration set tells nothing of theirs.'
)
MEANING = (
    'Fidelity is how far a quantised network says what it says in float: AP against its own boxes of a score of at '
    'least 0.3, or equal pixels. Labels: box AP or mIoU on the same images. SQNR is the mean over the outputs of the '
    'heads, in the simulation. Runtime and floor: mean relative difference of the outputs of the heads between runtime '
    'and simulation, and what rounding noise of 1e-6 after convolutions does within the simulation, on eight images. '
    'Everything but rows marked "simulated" was executed by OpenVINO; what is not in int8 is computed in fp32.'
)
RESTRICTED = (
    'Papers have grids that no integer kernel computes with. "As published" holds those in simulation, by PyTorch; '
    '"executed" is what OpenVINO ran without them. Both see the same images, and both ratios are of simulations.'
)


@dataclass(frozen=True)
class Comparison:
    """A candidate beside a baseline of as many bits.

    Attributes:
        network: Its name.
        candidate: The one.
        baseline: The other.
        fidelity: How much better the one is, in points of percent.
        label: The same of the scores against labels.
        sqnr: The same of the heads' signal-to-noise ratio, in decibels, over trainings and calibration sets: images are
            the same for all. None where one of the two is not simulated.
    """

    network: str
    candidate: Candidate
    baseline: Candidate
    fidelity: Interval
    label: Interval
    sqnr: Interval | None = None


def scores_by_cell(measurements: Sequence[Measurement], network: str, key: str, score: str) -> dict[Cell, Score]:
    """Scores 'fidelity' or 'label', or ratios 'sqnr', of a candidate on a network; cells without are left out."""
    mine = [one for one in measurements if one.cell.network == network and one.candidate.key == key]
    if score != 'sqnr':
        return {one.cell: getattr(one, score) for one in mine}
    draws = len(mine[0].fidelity.resampled) if mine else 0
    ratios = {one.cell: one.sqnr_db['all'] for one in mine if one.sqnr_db}
    return {cell: Score(ratio, (ratio,) * draws) for cell, ratio in ratios.items()}


def compare(study: Study, measurements: Sequence[Measurement]) -> list[Comparison]:
    """Every candidate beside every baseline that was measured in the same cells; two baselines once."""
    found = []
    candidates = study.candidates()[1:]
    for network in study.networks:
        for place, candidate in enumerate(candidates):
            others = candidates[:place] if candidate.method in study.baselines else candidates
            for baseline in others:
                plain = baseline.is_executed and not baseline.reconstruct and baseline.method in study.baselines
                if not plain or baseline == candidate or baseline.bits != candidate.bits:
                    continue
                if (one := _compared(measurements, network, candidate, baseline)) is not None:
                    found.append(one)
    return found


def restrictions(study: Study, measurements: Sequence[Measurement]) -> list[Comparison]:
    """What integer kernels cost: the executable form of each quantiser beside its paper's, in the same cells."""
    found = []
    papers = [one for one in study.candidates() if not one.is_executed]
    for network in study.networks:
        for paper in papers:
            if (one := _compared(measurements, network, replace(paper, form=EXECUTABLE), paper)) is not None:
                found.append(one)
    return found


def restriction_table(
    study: Study, network: str, comparisons: Sequence[Comparison], measurements: Sequence[Measurement]
) -> Table:
    """The `restrictions` of a network, with what both forms reach in the cells that they share."""
    rows = []
    for one in comparisons:
        if one.network != network:
            continue
        forms = [
            {each.cell: each for each in measurements if each.cell.network == network and each.candidate == candidate}
            for candidate in (one.candidate, one.baseline)
        ]
        shared = forms[0].keys() & forms[1].keys()
        fidelity = [[form[cell].fidelity.value for cell in shared] for form in forms]
        sqnr = [[form[cell].sqnr_db['all'] for cell in shared if form[cell].sqnr_db] for form in forms]
        ours, theirs = (summarize(values).mean for values in sqnr)
        lost = None if ours is None or theirs is None else ours - theirs
        rows.append(
            [
                one.candidate.title,
                *(_spread(values, 2) for values in fidelity),
                interval_text(one.fidelity),
                one.fidelity.verdict,
                *(_spread(values) for values in sqnr),
                fixed(lost, 1, signed=True),
                str(len(shared)),
            ]
        )
    columns = ['quantiser', 'executed, %', 'as published, simulated, %', 'difference', 'so executed it is']
    columns += ['SQNR executed, dB', 'SQNR as published, dB', 'difference, dB', 'cells']
    title = f'{study.networks[network]["title"]}: what integer kernels cost'
    return Table(title, columns, rows, numeric=[*columns[1:3], *columns[5:]])


def _compared(
    measurements: Sequence[Measurement], network: str, candidate: Candidate, baseline: Candidate
) -> Comparison | None:
    def paired(score: str) -> Interval | None:
        one, other = (scores_by_cell(measurements, network, each.key, score) for each in (candidate, baseline))
        return paired_interval(one, other)

    fidelity, label, sqnr = map(paired, DIFFERENCES)
    if fidelity is None or label is None:
        return None
    return Comparison(network, candidate, baseline, fidelity, label, sqnr)


def comparison_table(study: Study, network: str, comparisons: Sequence[Comparison]) -> Table:
    """The comparisons of a network."""
    rows = [
        [
            one.candidate.title,
            one.baseline.title,
            *(text for score in DIFFERENCES for text in _difference(getattr(one, score))),
            str(one.fidelity.n),
        ]
        for one in comparisons
        if one.network == network
    ]
    columns = [
        'quantiser',
        'beside',
        'fidelity',
        'so it is',
        'labels',
        'so it is ',
        'SQNR, dB',
        'so it is  ',
        'trainings',
    ]
    return Table(f'{study.networks[network]["title"]}: differences in points', columns, rows, numeric=['trainings'])


def _difference(interval: Interval | None) -> tuple[str, str]:
    return (NOTHING, NOTHING) if interval is None else (interval_text(interval), interval.verdict)


def interval_text(interval: Interval) -> str:
    """Such as '+1.30 (+0.41 to +2.22)'."""
    difference = fixed(interval.mean, 2, signed=True)
    if interval.low is None:
        return difference
    return f'{difference} ({fixed(interval.low, 2, signed=True)} to {fixed(interval.high, 2, signed=True)})'


def score_table(study: Study, network: str, measurements: Sequence[Measurement], latencies: Sequence[Latency]) -> Table:
    """All that was measured of a network, by candidate."""
    mine = [one for one in measurements if one.cell.network == network]
    times = next((one for one in latencies if one.network == network), None)
    rows = []
    for candidate in study.candidates():
        of = [one for one in mine if one.candidate.key == candidate.key]
        if not of:
            continue
        details = next((one.details for one in of if one.details is not None), None)
        quartiles = None if times is None else times.quartiles_ms.get(candidate.key)
        rows.append(
            [
                candidate.title,
                '100' if candidate.method == FLOAT else _spread([one.fidelity.value for one in of], 2),
                _spread([one.label.value for one in of]),
                _spread([one.sqnr_db['all'] for one in of if one.sqnr_db]),
                NOTHING if details is None else fixed(_percent(details.int8_share), 1),
                NOTHING if details is None else fixed(details.runtime_difference, 4),
                NOTHING if details is None else fixed(details.floor, 4),
                NOTHING if quartiles is None else with_range(*quartiles),
                NOTHING if details is None or details.file_bytes is None else file_size(details.file_bytes, 2),
                NOTHING if candidate.method == FLOAT else _spread([one.search_s for one in of], 0),
                str(len(of)),
            ]
        )
    columns = [
        'quantiser',
        'fidelity, %',
        'labels, %',
        'SQNR, dB',
        'MACs in int8, %',
        'runtime',
        'floor',
        'latency, ms',
    ]
    columns += ['file', 'calibration, s', 'cells']
    return Table(study.networks[network]['title'], columns, rows, numeric=columns[1:])


def _spread(values: Sequence[float], digits: int = 1) -> str:
    spread = summarize(values)
    return with_spread(spread.mean, spread.std, digits)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def findings(study: Study, comparisons: Sequence[Comparison]) -> list[str]:
    """In sentences: on how many networks a quantiser is more or less faithful than a baseline, and less noisy."""
    lines = []
    pairs = dict.fromkeys((one.candidate, one.baseline) for one in comparisons)
    for candidate, baseline in pairs:
        own = [one for one in comparisons if (one.candidate, one.baseline) == (candidate, baseline)]
        counts = [_counts('fidelity', [one.fidelity for one in own])]
        if ratios := [one.sqnr for one in own if one.sqnr is not None]:
            counts.append(_counts('SQNR', ratios))
        lines.append(f'{candidate.title} beside {baseline.title}: {"; ".join(counts)}')
    return lines


def _counts(name: str, intervals: Sequence[Interval]) -> str:
    verdicts = [interval.verdict for interval in intervals]
    counts = ', '.join(f'{kind} on {verdicts.count(kind)}' for kind in ('better', 'worse', 'not told apart'))
    return f'{name} {counts} of {counted(len(verdicts), "network")}'


def gaps(study: Study, measurements: Sequence[Measurement]) -> list[str]:
    """What has not been measured, by network."""
    lines = []
    for network, given in study.networks.items():
        done = {(one.cell, one.candidate.key) for one in measurements}
        cells = [cell for cell in study.cells() if cell.network == network]
        wanted = [(cell, one.key) for cell in cells for one in study.candidates(network)[1:]]
        missing = sum(pair not in done for pair in wanted)
        if missing:
            lines.append(f'{given["title"]}: {missing} of {len(wanted)} measurements are missing')
    return lines
