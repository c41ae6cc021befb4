"""What a comparison of two runtimes found, and how far they may differ."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

MIN_DETECTIONS = 5  # fewer prove nothing
SITE_DEVIATION = 0.025  # the order of sums makes 1e-4, a wrong kernel 0.03 to 1.2, sums that saturate up to 0.35


@dataclass(frozen=True)
class Bounds:
    """How far an exported model may deviate.

    Attributes:
        equal_pixels: Least share of pixels of the same class.
        probability: Largest mean difference of a pixel's probabilities; of each pixel, that of the class which differs
            most.
        iou: Least IoU of a box with its partner.
        score: Largest difference of their scores.
        mask_iou: Least mean IoU of their masks.
        offset: Largest mean difference of their offsets, as a share of the square root of the box's area, and of the
            logarithms of their heights.
        unmatched: Largest share of detections without a partner.
        ties: Largest share of ties in NMS, of which two runtimes may keep different ones. One tie is always allowed;
            0: no tie excuses a missing partner.
        weak: Detections below this part of the image's best score need no partner: many overlap and are about as
            strong as one another, and rounding decides which of them stay.
    """

    equal_pixels: float
    probability: float
    iou: float
    score: float
    mask_iou: float
    offset: float
    unmatched: float
    ties: float
    weak: float


# fp32 differs in the order of sums alone. fp16 keeps 11 significant bits and bfloat16 8, each rounding of which is off
# by up to 2**-11 and 2**-8 of the value; over some sixty layers independent roundings add up to about eight times that,
# 0.4 % and 3 %, of a logit or of a box; rounding then often decides which of several overlapping boxes stays. Partners
# of a lower precision are therefore the same object by COCO's loosest criterion, an IoU of 0.5; nine or eight of ten
# must have one: that tells a useful network from a broken one, and how good it is the scores of the data set have to
# say.
BOUNDS = {
    'fp32': Bounds(0.999, 1e-3, 0.99, 1e-3, 0.99, 1e-3, 0.0, 0.02, 0.0),
    'fp16': Bounds(0.995, 0.005, 0.5, 0.1, 0.9, 0.02, 0.05, 0.0, 0.3),
    'bf16': Bounds(0.97, 0.03, 0.5, 0.1, 0.8, 0.05, 0.1, 0.0, 0.3),
    'int8': Bounds(0.9, 0.08, 0.5, 0.2, 0.7, 0.1, 0.2, 0.0, 0.3),
}


@dataclass(frozen=True)
class Case:
    """One deviation.

    Attributes:
        image: Name of the image.
        deviation: How grave it is; cases are sorted by it.
        text: What differs, for people.
    """

    image: str
    deviation: float
    text: str


@dataclass
class Verification:
    """What a comparison found.

    Attributes:
        bounds: What was allowed.
        images: Number of images compared.
        checked: Number of pixels, or of detections that had to have a partner.
        equal: How many of them are the same.
        classes: Number of classes that the reference saw.
        ties: Detections that differ by a tie in NMS; they are among `checked`.
        edge: Detections that one side lacks, at the limit of scores or of their number, or weak; they are not among
            `checked`.
        probability: Mean over pixels of the largest difference of a class's probability; None without probabilities.
        largest: Largest differences by what differs: 'probability', 'score', '1 - IoU of boxes'.
        mask_iou: Mean IoU of the masks of partners; None without masks.
        offset: Mean difference of the offsets and heights of partners, see `Bounds`; None without them.
        worst: The gravest deviations.
        note: How the comparison was made, where it was not the usual way.
        sites: In int8, how far the runtime strays from the simulation at each site alone, see `site_deviations`.
    """

    bounds: Bounds
    images: int = 0
    checked: int = 0
    equal: int = 0
    classes: int = 0
    ties: int = 0
    edge: int = 0
    probability: float | None = None
    largest: dict[str, float] = field(default_factory=dict)
    mask_iou: float | None = None
    offset: float | None = None
    worst: list[Case] = field(default_factory=list)
    is_detection: bool = False
    note: str = ''
    sites: dict[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The part of what was checked that is equal."""
        return self.equal / self.checked if self.checked else 0.0

    @property
    def is_telling(self) -> bool:
        """Whether there was something to compare: detections, or pixels of two classes or their probabilities."""
        if self.is_detection:
            return self.equal >= MIN_DETECTIONS or self.checked - self.equal - self.ties > 0
        return self.checked > 0 and (self.classes > 1 or self.probability is not None or self.equal < self.checked)

    @property
    def problems(self) -> list[str]:
        """What exceeds the bounds; empty if the model passed."""
        bounds, problems = self.bounds, []
        if not self.is_telling:
            problems.append(
                f'nothing to compare: {self.checked} detections on {self.images} images'
                if self.is_detection
                else f'nothing to compare: {self.classes} classes on {self.images} images'
            )
        if self.is_detection:
            excused = self.ties if bounds.ties else 0
            unmatched = self.checked - self.equal - excused
            if unmatched > bounds.unmatched * self.checked:
                problems.append(
                    f'{unmatched} of {self.checked} detections without a partner of IoU >= {bounds.iou} and score '
                    f'within {bounds.score}; at most {bounds.unmatched:.1%} may be'
                )
            if excused > max(bounds.ties * self.checked, 2):  # one tie leaves one detection on either side
                problems.append(f'{self.ties} of {self.checked} detections differ by ties in NMS; too many to be so')
        elif self.checked and self.share < bounds.equal_pixels:
            problems.append(f'{self.share:.3%} of the pixels have the same class, not {bounds.equal_pixels:.1%}')
        if self.probability is not None and not self.probability <= bounds.probability:
            problems.append(f'probabilities differ by {self.probability:.2g} on average, not {bounds.probability}')
        if self.mask_iou is not None and self.mask_iou < bounds.mask_iou:
            problems.append(f'masks have a mean IoU of {self.mask_iou:.3f}, not {bounds.mask_iou}')
        if self.offset is not None and not self.offset <= bounds.offset:
            problems.append(f'offsets and heights differ by {self.offset:.2g} of their scale, not {bounds.offset}')
        wrong = {site: value for site, value in self.sites.items() if not value <= SITE_DEVIATION}
        if wrong:
            named = ', '.join(
                f'{site} by {value:.2g}' for site, value in sorted(wrong.items(), key=lambda one: -one[1])
            )
            problems.append(
                f'{len(wrong)} of {len(self.sites)} sites run on kernels that compute other numbers on this processor, '
                f'off by more than {SITE_DEVIATION} of their size: {named}; try the other --format'
            )
        return problems

    @property
    def passed(self) -> bool:
        """Whether everything is within its bounds, and there was something to compare."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), 'share': self.share, 'passed': self.passed, 'problems': self.problems}

    def __str__(self) -> str:
        what = 'detections' if self.is_detection else 'pixels'
        parts = [f'{self.equal:,} of {self.checked:,} {what} equal ({self.share:.3%}) on {self.images} images']
        if self.is_detection:
            parts.append(f'{self.ties} ties in NMS, {self.edge} at the limit of scores or of their number')
        if self.probability is not None:
            parts.append(f'mean difference of probabilities {self.probability:.2g}')
        if self.mask_iou is not None:
            parts.append(f'mean IoU of masks {self.mask_iou:.4f}')
        if self.offset is not None:
            parts.append(f'mean difference of offsets and heights {self.offset:.2g} of their scale')
        parts += [f'largest difference of {name} {value:.2g}' for name, value in self.largest.items()]
        if self.sites:
            parts.append(
                f'{len(self.sites)} sites as simulated, the worst to {max(self.sites.values()):.2g} of its size'
            )
        return '; '.join([*parts, *([self.note] if self.note else [])])


class DeviationError(Exception):
    """An exported model does not say what the network says; `verification` tells where."""

    def __init__(self, verification: Verification) -> None:
        self.verification = verification
        cases = [f'  {case.image}: {case.text}' for case in verification.worst]
        super().__init__('\n'.join(['; '.join(verification.problems), *cases]))
