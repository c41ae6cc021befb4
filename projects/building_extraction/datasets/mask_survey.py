"""A look at some masks before training: how much of them is building, and whether they seem to be inverted."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from mmengine.logging import print_log

from projects.pixels.decoding import UnreadableImageError
from projects.training.label_survey import IGNORED
from projects.training.segmentation_datasets import decoded_size

from ..mask_codes import BACKGROUND, BUILDING
from .mask_values import MaskValues

MAX_PIXELS = 400_000_000  # half a minute at most, for sets of huge masks
IMPLAUSIBLE_SHARE = 0.75  # no town is built over so densely


@dataclass
class MaskSurvey:
    """What a sample of masks shows.

    Attributes:
        labeled_share: Share of the pixels that are not ignored.
        building_share: Share of the pixels that are not ignored, over all masks together.
        building_spans: Share of the masks with both labels in which one connected building reaches from one side to
            the opposite one.
        background_spans: The same for background.
        num_masks: Masks that were read.
        unreadable: What is wrong with the others.
    """

    labeled_share: float
    building_share: float
    building_spans: float
    background_spans: float
    num_masks: int
    unreadable: list[str]

    @property
    def looks_inverted(self) -> bool:
        """Whether building and background seem to be swapped.

        The building share alone cannot tell: the densest city centres have 0.5 to 0.6. The second sign can. Ground
        hangs together (streets run through the tile from side to side), buildings end at the next street; in inverted
        masks it is the other way round, whatever the share.
        """
        return self.building_spans > self.background_spans or self.building_share > IMPLAUSIBLE_SHARE


def survey_masks(masks: Mapping[str, str], values: MaskValues, num_masks: int = 200) -> MaskSurvey:
    """Read masks spread evenly over a set; the same ones each time.

    Args:
        masks: All masks of the set, with their images.
        values: What their values mean.
        num_masks: How many to read at most; fewer if they are huge.
    """
    paths = list(masks)
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(num_masks, len(paths))).round().astype(int))
    counts = np.zeros(256, np.int64)
    spanning = np.zeros(2, np.int64)
    num_mixed, num_read, unreadable = 0, 0, []
    for index in np.random.default_rng(0).permutation(chosen):  # so that a part of them is spread too
        try:
            labels = values.read(paths[index])
            _compare_sizes(paths[index], labels.shape, masks[paths[index]])
        except UnreadableImageError as error:
            unreadable.append(str(error))
            continue
        here = np.bincount(labels.ravel(), minlength=256)
        counts += here
        num_read += 1
        if here[BUILDING] and here[BACKGROUND]:
            num_mixed += 1
            spanning += [_spans(labels == label) for label in (BUILDING, BACKGROUND)]
        if counts.sum() > MAX_PIXELS:
            break
    return MaskSurvey(
        labeled_share=float(1 - counts[IGNORED] / max(counts.sum(), 1)),
        building_share=float(counts[BUILDING] / max(counts.sum() - counts[IGNORED], 1)),
        building_spans=float(spanning[0] / max(num_mixed, 1)),
        background_spans=float(spanning[1] / max(num_mixed, 1)),
        num_masks=num_read,
        unreadable=unreadable,
    )


def _compare_sizes(mask_path: str, shape: tuple[int, ...], image_path: str) -> None:
    try:
        expected = decoded_size(image_path)
    except UnreadableImageError:  # an image has its turn when it is loaded
        return
    if shape != expected:
        raise UnreadableImageError(f'{mask_path}: a mask of {shape} for the image {image_path} of {expected}')


def _spans(mask: np.ndarray) -> bool:
    """Whether a 4-connected component of a mask (H, W) touches two opposite sides."""
    components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1]
    return any(
        np.isin(one[one > 0], two).any()
        for one, two in ((components[0], components[-1]), (components[:, 0], components[:, -1]))
    )


def check_masks(
    masks: Mapping[str, str], values: MaskValues, num_masks: int, max_unreadable_share: float, learnt: bool = False
) -> None:
    """Log the building share of a set, and warn if its masks look inverted or hold no building.

    Args:
        masks: All masks of the set, with their images.
        values: What their values mean.
        num_masks: How many to read at most.
        max_unreadable_share: Share of unreadable masks above which the set is refused.
        learnt: Whether the set is trained on.

    Raises:
        ValueError: More masks are unreadable, of another size than their images or hold unknown values (quotes what is
            wrong with one), all pixels are ignored, or all masks are read, for training, and no pixel is building.
    """
    survey = survey_masks(masks, values, num_masks)
    num_looked_at = survey.num_masks + len(survey.unreadable)
    if len(survey.unreadable) > max_unreadable_share * num_looked_at:
        raise ValueError(
            f'{len(survey.unreadable)} of {num_looked_at} masks looked at cannot be used, more than the allowed share '
            f'of {max_unreadable_share:.0%}: {survey.unreadable[0]}. If the values are right, state what they mean in '
            'the config: building, background and ignored of the data set'
        )
    if survey.num_masks and survey.labeled_share == 0:
        raise ValueError(
            f'No pixel of the {survey.num_masks} masks looked at is building or background, so that nothing can be '
            f'learnt, e.g. {next(iter(masks))}. {values} says that their values are ignored'
        )
    if survey.num_masks and survey.building_share == 0:
        message = f'No building in {survey.num_masks} of {len(masks)} masks, e.g. {next(iter(masks))}: {values}'
        if learnt and survey.num_masks == len(masks):
            raise ValueError(f'{message}. Nothing can be learnt from background alone')
        print_log(message, logger='current', level=logging.WARNING)
    print_log(
        f'buildings cover {survey.building_share:.1%} of the pixels in {survey.num_masks} of {len(masks)} masks',
        logger='current',
    )
    if survey.looks_inverted:
        print_log(
            f'The masks look INVERTED: {survey.building_share:.1%} of their pixels are building, and one connected '
            f'building reaches from side to side in {survey.building_spans:.0%} of them, background in '
            f'{survey.background_spans:.0%}; where labels are right, streets and ground reach through more often. Look '
            f'at a mask, e.g. {next(iter(masks))}: the config takes the value {values.building} as building and '
            f'{list(values.background)} as background. If it is the other way round, swap building and background of '
            'the data set, for training and evaluation',
            logger='current',
            level=logging.WARNING,
        )
