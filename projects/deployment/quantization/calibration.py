"""Which images are enough to calibrate on."""

from collections.abc import Sequence

import numpy as np

MIN_IMAGES = 10  # ranges of activations from fewer are chance


def check_images(batches: Sequence[np.ndarray]) -> None:
    """Refuse images from which ranges would be chance; one that comes twice, as batches are filled up, counts once.

    Args:
        batches: (B, H, W, 3) uint8.

    Raises:
        ValueError: There are too few, or too few that show something.
    """
    different = {hash(image.tobytes()): _is_blank(image) for batch in batches for image in batch}
    count, blank = len(different), sum(different.values())
    if count < MIN_IMAGES:
        raise ValueError(
            f'int8 is calibrated on {count} different images, and needs {MIN_IMAGES} at least (32 are usual, 300 for '
            'nncf): name more with --calibration'
        )
    if count - blank < MIN_IMAGES:
        raise ValueError(
            f'{blank} of {count} images to calibrate with are of one colour, and int8 needs {MIN_IMAGES} that are not: '
            'name others with --calibration'
        )


def _is_blank(image: np.ndarray) -> bool:
    """Whether it is of one colour, and another in its padding, which is below and to the right."""
    return bool(((image == image[0, 0]).all(axis=-1) | (image == image[-1, -1]).all(axis=-1)).all())
