"""A look at label maps before training: which values they hold, and whether the rule of the data set fits them."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from projects.pixels.decoding import UnreadableImageError

from .findings_cache import FindingsCache

IGNORED = 255  # label of pixels that are neither trained on nor scored
UNKNOWN = 254  # marks values that no label map of the data set may hold
NUM_MAPS = 200
MAPS_WORTH_A_CACHE = 100
MAX_PIXELS = 400_000_000  # some seconds at most, for sets of huge maps


ADVICE = 'Write label maps in which each value is the index of a class, or state in the config what their values mean'


@dataclass
class LabelSurvey:
    """What a sample of label maps shows.

    Attributes:
        counts: Pixels of each value from 0 to 255, in maps that can be used.
        foreign: The same of maps with values that the data set does not know.
        num_maps: Maps that can be used.
        unusable: What is wrong with the others.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    foreign: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    num_maps: int = 0
    unusable: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> 'LabelSurvey':
        """The survey that `to_json` was called of.

        Raises:
            TypeError: The content is none of a survey.
            ValueError: As above.
        """
        survey = cls(**content)
        survey.counts, survey.foreign = (np.array(counts, np.int64) for counts in (survey.counts, survey.foreign))
        if not survey.counts.shape == survey.foreign.shape == (256,):
            raise ValueError('a survey counts 256 values')
        return survey

    def to_json(self) -> dict[str, Any]:
        """The survey as numbers and text."""
        return vars(self) | {'counts': self.counts.tolist(), 'foreign': self.foreign.tolist()}

    def describe(self) -> str:
        """The values and their shares, the most frequent first."""
        counts = self.counts + self.foreign
        shares = counts / max(counts.sum(), 1)
        values = [value for value in np.argsort(-shares, kind='stable').tolist() if shares[value]]
        named = ', '.join(f'{value} ({shares[value]:.1%})' for value in values[:6])
        return named + (f' and {len(values) - 6} more' if len(values) > 6 else '')

    def advice(self, others: Mapping[str, np.ndarray], num_labeled: int) -> str:
        """What to do, of the first other rule that knows all values and labels at least that many pixels."""
        for remedy, lookup in others.items():
            labels = count_labels(self.counts + self.foreign, lookup)
            if not labels[UNKNOWN] and labels[:UNKNOWN].sum() >= num_labeled and (labels[:UNKNOWN] > 0).sum() > 1:
                return remedy
        return ''


def count_labels(counts: np.ndarray, lookup: np.ndarray) -> np.ndarray:
    """Pixels of each label from 0 to 255, of pixels of each value, by a table from values to labels."""
    return np.bincount(lookup, weights=counts, minlength=256)


def _num_seen(counts: np.ndarray, lookup: np.ndarray) -> int:
    return int((count_labels(counts, lookup)[:UNKNOWN] > 0).sum())


def _num_classes(lookup: np.ndarray) -> int:
    return len({label for label in lookup.tolist() if label < UNKNOWN})


def unknown_values(counts: np.ndarray, lookup: np.ndarray) -> str:
    """What is wrong with the values of a label map by a table, '' if nothing is."""
    unknown = np.flatnonzero((counts > 0) & (lookup == UNKNOWN)).tolist()
    known = np.flatnonzero(lookup != UNKNOWN).tolist()
    return f'unknown label values {unknown}; known are {known}' if unknown else ''


def survey_labels(images: Mapping[str, str], read: Callable[[str], np.ndarray], lookup: np.ndarray) -> LabelSurvey:
    """Read label maps spread evenly over a set, the same ones each time; more of them if none has a label.

    What was found in a large set is kept in the user's cache, until a label map, an image or the table changes.

    Args:
        images: The image of each label map of the set.
        read: Returns the values of one, (H, W) uint8; raises UnreadableImageError.
        lookup: From values to labels.
    """
    cached = None
    if len(images) >= MAPS_WORTH_A_CACHE:
        question = (lookup.tolist(), Image.__version__)
        cached = FindingsCache('label_surveys', question, (path for pair in images.items() for path in pair))
        if known := cached.read():
            with contextlib.suppress(TypeError, ValueError):
                return LabelSurvey.from_json(known)
        print_log(f'reading some of the {len(images)} label maps, once for this set', logger='current')
    survey = _read_some(list(images), read, lookup)
    if cached is not None:
        cached.write(survey.to_json())
    return survey


def _read_some(paths: Sequence[str], read: Callable[[str], np.ndarray], lookup: np.ndarray) -> LabelSurvey:
    survey = LabelSurvey()
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(NUM_MAPS, len(paths))).round().astype(int))
    order = np.random.default_rng(0).permutation(chosen)  # so that a part of them is spread too
    rest = np.setdiff1d(np.arange(len(paths)), chosen)
    for number, index in enumerate([*order, *rest]):
        is_enough = number >= len(order) or survey.counts.sum() > MAX_PIXELS
        if is_enough and (len(survey.unusable) > number // 2 or count_labels(survey.counts, lookup)[:UNKNOWN].any()):
            break
        try:
            counts = np.bincount(read(paths[index]).ravel(), minlength=256)
        except UnreadableImageError as error:
            survey.unusable.append(str(error))
            continue
        if problem := unknown_values(counts, lookup):
            survey.unusable.append(f'{paths[index]}: {problem}')
            survey.foreign += counts
        else:
            survey.counts += counts
            survey.num_maps += 1
    return survey


def check_labels(
    survey: LabelSurvey,
    lookup: np.ndarray,
    others: Mapping[str, np.ndarray],
    holds_255: bool,
    max_unusable_share: float,
    name: str,
) -> None:
    """Log what a survey shows; refuse a set that cannot be learnt, and warn of one that another rule fits better.

    Another rule fits better if it knows all values and labels no fewer pixels, where there are values that the files of
    the data set should not hold, or where all classes occur by that rule and not all by the one of the data set.

    Args:
        survey: Of the set.
        lookup: From values to labels, 255 for ignored ones, `UNKNOWN` for values that must not occur.
        others: Tables of other rules, by what to do if one of them is right.
        holds_255: Whether the files of the data set hold 255 by its own rule.
        max_unusable_share: Share of unusable maps above which the set is refused.
        name: Of the set, for messages.

    Raises:
        ValueError: Too many maps are unusable, or no pixel has a label.
    """
    labels = count_labels(survey.counts, lookup)[:UNKNOWN]
    found = f'the label maps hold {survey.describe()}; by the rule of the data set {_rule(lookup)}'
    advice = survey.advice(others, max(int(labels.sum()), 1))
    num_looked_at = survey.num_maps + len(survey.unusable)
    if len(survey.unusable) > max_unusable_share * num_looked_at:
        raise ValueError(
            f'{name}: {len(survey.unusable)} of {num_looked_at} label maps that were looked at cannot be used, more '
            f'than the allowed share of {max_unusable_share:.0%}: {survey.unusable[0]}' + (f'. {advice}' * bool(advice))
        )
    if not survey.num_maps:
        return
    if not labels.any():
        raise ValueError(f'{name}: no pixel is labelled, so that nothing can be learnt: {found}. {advice or ADVICE}')
    num_classes, num_seen = _num_classes(lookup), _num_seen(survey.counts, lookup)
    print_log(
        f'{name}: {survey.num_maps} label maps looked at hold {num_seen} of {num_classes} classes, '
        f'{1 - labels.sum() / survey.counts.sum():.1%} of the pixels are ignored'
        + f'; {len(survey.unusable)} others cannot be used: {" ".join(survey.unusable[:1])}'
        * bool(survey.unusable),
        logger='current',
    )
    is_complete_otherwise = any(
        num_seen < _num_seen(survey.counts, other) == _num_classes(other) for other in others.values()
    )
    is_doubtful = survey.foreign.any() or (survey.counts[255] and not holds_255) or is_complete_otherwise
    if is_doubtful and advice:
        print_log(f'{name}: {found}. {advice}', logger='current', level=logging.WARNING)
    if num_seen == 1 < num_classes:
        message = f'{name}: only one class occurs, from which nothing can be learnt: {found}. {ADVICE}'
        print_log(message, logger='current', level=logging.WARNING)


def _rule(lookup: np.ndarray) -> str:
    """What the values mean by a table."""
    classes, ignored = (np.flatnonzero(mask).tolist() for mask in (lookup < UNKNOWN, lookup == IGNORED))
    return f'{_spans(classes)} are classes and {_spans(ignored)} are ignored'


def _spans(values: Sequence[int]) -> str:
    """Numbers as text, such as '0, 7–9'."""
    starts = [value for value in values if value - 1 not in values]
    ends = [value for value in values if value + 1 not in values]
    return ', '.join(str(a) if a == b else f'{a}–{b}' for a, b in zip(starts, ends, strict=True))
