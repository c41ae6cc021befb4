"""Scores in one line that a person can read; those of a task of its own are described where they are computed."""

from collections.abc import Callable
from typing import TypeAlias

from projects.reporting.number_format import fixed

Describe: TypeAlias = Callable[[dict[str, float]], str]

# What COCOeval's summary holds, in its order, by the names that mmdet gives them.
SUMMARY = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
TITLES = {'bbox': 'box', 'segm': 'mask'}
DESCRIPTIONS: list[Describe] = []  # of the scores of tasks


def describes_scores(describe: Describe) -> Describe:
    """Register a function that describes the scores of a task: empty if there are none among those that it is given."""
    DESCRIPTIONS.append(describe)
    return describe


def describe_scores(scores: dict[str, float]) -> str:
    """One line, e.g. 'box AP 39.0 (AP50 61.2, AP75 41.9, APs 22.1, APm 42.0, APl 52.7)' or 'mIoU 46.0 (mAcc 57.2, …)'.

    Args:
        scores: Of `CocoScores`, with or without the prefix 'coco/', of mmseg's IoUMetric, in percent, or of what is
            registered with `describes_scores`.
    """
    parts = [_describe_coco(scores), *(describe(scores) for describe in DESCRIPTIONS), _describe_classes(scores)]
    return ' · '.join(part for part in parts if part)


def _describe_coco(scores: dict[str, float]) -> str:
    scores = {name.removeprefix('coco/'): value for name, value in scores.items()}
    parts = []
    for kind, title in TITLES.items():
        if f'{kind}_mAP' not in scores:
            continue
        values = [fixed(None if (ap := scores[f'{kind}_{name}']) < 0 else 100 * ap) for name in SUMMARY]
        details = ', '.join(
            f'AP{name} {value}' for name, value in zip(('50', '75', 's', 'm', 'l'), values[1:], strict=True)
        )
        parts.append(f'{title} AP {values[0]} ({details})')
    return ' · '.join(parts)


def _describe_classes(scores: dict[str, float]) -> str:
    if 'mAcc' not in scores:
        return ''
    return f'mIoU {scores["mIoU"]:.1f} (mAcc {scores["mAcc"]:.1f}, pixel accuracy {scores["aAcc"]:.1f})'
