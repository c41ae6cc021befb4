"""What the pixel values of building masks mean, as the config states it; every other value is refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from PIL import Image

from projects.geodata.raster_values import MASK_VALUES
from projects.pixels.decoding import UnreadableImageError
from projects.storage.image_errors import PILLOW_ERRORS
from projects.training.label_survey import IGNORED, UNKNOWN

from ..mask_codes import BACKGROUND, BUILDING

Value = int | Sequence[int]


@dataclass(frozen=True)
class MaskValues:
    """Values of grey masks, or colours (R, G, B) of coloured ones.

    Attributes:
        building: The value of buildings.
        background: Those of everything else.
        ignored: Those of pixels that are neither trained on nor scored.
        tolerance: How much a channel may differ from a stated value; 0 but for masks in JPEG, which alters values.
    """

    building: Value
    background: Sequence[Value]
    ignored: Sequence[Value] = ()
    tolerance: int = 0

    def __post_init__(self) -> None:
        values = [value for value, _ in self._meanings()]
        if {len(value) for value in values} not in ({1}, {3}):
            self._refuse('expected integers everywhere, or colours (R, G, B) everywhere')
        if not all(isinstance(channel, int) and 0 <= channel <= 255 for value in values for channel in value):
            self._refuse('expected integers from 0 to 255')
        for one, two in combinations(values, 2):
            if max(abs(a - b) for a, b in zip(one, two, strict=True)) <= 2 * self.tolerance:
                self._refuse(f'{one} and {two} are the same within the tolerance')

    def _refuse(self, reason: str) -> None:
        raise ValueError(f'{self}: {reason}. Correct the values in the config of the data set')

    def _meanings(self) -> Iterator[tuple[tuple[int, ...], int]]:
        """Each value as a tuple of its channels, with the label that it is turned into."""
        for values, label in (([self.building], BUILDING), (self.background, BACKGROUND), (self.ignored, IGNORED)):
            for value in values:
                yield (value,) if isinstance(value, int) else tuple(value), label

    def read(self, path: str) -> np.ndarray:
        """Read a mask.

        Grey values may be stored as grey, palette indices, one bit (0 and 1) or three equal channels; colours as RGB,
        RGBA or palette.

        Args:
            path: A PNG, TIFF, JPEG or another file that pillow reads.

        Returns:
            (H, W) uint8: 1 = building, 0 = background, 255 = ignored.

        Raises:
            UnreadableImageError: The file is absent or broken, has more than 8 bits per channel, is coloured while the
                values are grey, or holds unknown values; names the file, the values and the known ones.
        """
        known = list(self._meanings())
        try:
            with Image.open(path) as image:
                pixels = _pixels(image, colored=len(known[0][0]) == 3)
        except PILLOW_ERRORS as error:
            raise UnreadableImageError(f'{path}: {error}') from error
        labels = np.full(pixels.shape[:2], UNKNOWN, np.uint8)
        for value, label in known:
            low, high = (tuple(channel + sign * self.tolerance for channel in value) for sign in (-1, 1))
            labels[cv2.inRange(pixels, low, high) > 0] = label
        unknown = labels == UNKNOWN
        if unknown.any():
            found = np.unique(pixels[unknown].reshape(unknown.sum(), -1), axis=0)
            ignoring = set(np.unique(pixels).tolist()) == set(MASK_VALUES)
            raise UnreadableImageError(
                f'{path}: unknown mask values {_written(found[:8])}{" and more" * (len(found) > 8)} in '
                f'{unknown.mean():.1%} of the pixels; known are {_written([value for value, _ in known])}'
                + (' (masks in JPEG need a tolerance, e.g. 64)' if path.lower().endswith(('.jpg', '.jpeg')) else '')
                + (' (0, 1 and 255 mostly mean: building=1, background=[0], ignored=[255])' if ignoring else '')
            )
        return labels


def _pixels(image: Image.Image, colored: bool) -> np.ndarray:
    """The 8-bit values of an opened mask, of shape (H, W), or (H, W, 3) if it is taken as coloured."""
    if image.mode not in ('1', 'L', 'P', 'RGB', 'RGBA'):
        raise ValueError(f'a mask must have 8 bits per channel, grey or RGB; this one has pixels of mode {image.mode}')
    if colored:
        return np.asarray(image.convert('RGB'))
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return pixels.astype(np.uint8)
    if (pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 0] != pixels[..., 2]).any():
        raise ValueError(
            'the mask is coloured, while the config states grey values; state colours: building=(R, G, B), '
            'background=[(R, G, B)]'
        )
    return np.ascontiguousarray(pixels[..., 0])


def _written(values: Sequence[Sequence[int]] | np.ndarray) -> list:
    """Values for a message: integers, or colours as lists."""
    rows = np.asarray(values).tolist()
    return [row[0] if len(row) == 1 else row for row in rows]
