"""How likely it is that a roof is at a place: by the edges along its outline, and by the buildings around.

What is seen of a roof is what others leave of it: where a building that is placed surely stands before the outline, the
rest of it tells. And a place is unlikely at which a roof would hide another that is seen.
"""

import numpy as np

from .edges import EdgeMaps
from .hiding import Cover
from .outlines import Outlines
from .scores import MIN_INSIDE, MovedOutline, careful_log_ratio, pixels_of, standardized

HIDDEN = 0.2  # chance that nothing of a roof is seen where it is
MOST = 20.0  # logarithm beyond which evidence is certain
WRONG_COVER = 0.5  # chance that what stands before a roof, as others are placed, does not
SEEN_BELOW = 4.0  # logarithm by which a place is the less likely at which all that a roof would hide is seen


def evidence_of_places(
    edges: EdgeMaps, outlines: Outlines, moves_px: np.ndarray, leans_m: np.ndarray, cover: Cover | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """How much likelier the image is with the roof of each building at a place than without.

    Args:
        edges: Of the image.
        outlines: Of the labels, in its pixels.
        moves_px: (M, 2) Right and down from labels to places.
        leans_m: (M,) float32 Of roofs there.
        cover: Of buildings that are placed surely; None: of none.

    Returns:
        (N, M) float32 ratios; and which (N,) can be looked for.
    """
    counts = np.diff(outlines.first)
    ratios = np.ones((len(counts), len(moves_px)), np.float32)
    inside = np.zeros(len(counts), bool)
    for number, count in enumerate(counts.tolist()):
        moved = MovedOutline.of(edges, outlines, number, moves_px)
        ratio = likelihood_ratio(*moved.mean_strength(), count)
        if ratio is None:
            continue
        inside[number] = True
        if cover is not None:
            ratio = _as_others_stand(ratio, moved, cover, outlines.of_number(number)[0], number, moves_px, leans_m)
        ratios[number] = ratio
    return ratios, inside


def _as_others_stand(
    ratio: np.ndarray,
    moved: MovedOutline,
    cover: Cover,
    points_px: np.ndarray,
    number: int,
    moves_px: np.ndarray,
    leans_m: np.ndarray,
) -> np.ndarray:
    """Ratios (M,) of a building beside others: of what these leave to be seen, and less where it would hide them."""
    if (hidden := cover.hides(number, moved.places, leans_m)).any():
        left = likelihood_ratio(*moved.mean_strength(hidden), len(points_px))
        if left is not None:
            ratio = WRONG_COVER * ratio + (1 - WRONG_COVER) * left
    within, _ = pixels_of((points_px[::2] + points_px.mean(axis=0)) / 2, moves_px, cover.size_px)
    lower = cover.shows_lower_roofs(number, within, leans_m).mean(axis=0, dtype=np.float32)
    return ratio * np.exp(-np.float32(SEEN_BELOW) * lower)


def likelihood_ratio(scores: np.ndarray, shares: np.ndarray, num_points: int) -> np.ndarray | None:
    """How much likelier scores are where the roof is than where it is not; 1 where too little of it is known.

    Args:
        scores: (M,) As `mean_strength` gives them.
        shares: (M,) Of the outline that they are of; means of fewer points scatter more.
        num_points: Of the whole outline.

    Returns:
        (M,) float32; None if there are too few places, or all score alike.
    """
    z = standardized(scores, shares)
    if z is None:
        return None
    logarithm = careful_log_ratio(z * np.sqrt(shares), num_points * shares)
    logarithm = np.where(shares >= MIN_INSIDE, logarithm, np.float32(0))
    return HIDDEN + (1 - HIDDEN) * np.exp(np.minimum(logarithm, np.float32(MOST)))
