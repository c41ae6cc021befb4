"""What the values of a raster of buildings mean: probabilities of some scale, or a mask.

The meaning is what the caller says, else what the file says of itself (the tag that predictions carry, or GDAL's scale
of a band), else what the values cannot but mean: fractions of 1 are probabilities, and `MASK_VALUES` alone are a mask.
All others are refused: whole numbers up to 90 may be percent, parts of 255, or numbers of buildings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from logging import WARNING
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from projects.command_line import MEANINGS

FULL_VALUES = {'probability': 1, 'percent': 100, 'byte': 255}  # by meaning, the value of a probability of 1
MASK = 'mask'
IGNORED = 255
MASK_VALUES = (0, 1, IGNORED)
SCALE_TAG, BYTE_SCALE = 'SKYLINE_SCALE', '255 means a probability of 1'
TOLERANCE = 1e-3  # by which resampled or rounded probabilities may exceed 0 and 1
WINDOW_PX = 2048
SAY = (
    'say what they mean with --values: percent (0 to 100), byte (255 means a probability of 1), probability (0 to 1) '
    'or mask (0 is none; 1 is building and 255 ignored, or 255 is building)'
)


@dataclass(frozen=True)
class ValueMeaning:
    """How the stored values of one band become probabilities of building.

    Attributes:
        name: One of `MEANINGS`.
        path: The file, for messages.
        building: Of a mask, the value of buildings.
        scale: GDAL's scale of the band, by which stored values are multiplied first.
        offset: GDAL's offset, which is added then.
    """

    name: str
    path: Path
    building: int = 1
    scale: float = 1.0
    offset: float = 0.0

    def probabilities(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Probability of building of each pixel.

        Args:
            values: (H, W) As stored.
            valid: (H, W) Which pixels have data.

        Returns:
            (H, W) float32, 0 to 1; NaN without data, and where a mask says 255 beside 1: ignored.

        Raises:
            ValueError: A value lies beyond what the meaning allows.
        """
        values = _physical(values, self.scale, self.offset)
        if self.name == MASK:
            ignored = (values == IGNORED) & (self.building != IGNORED)
            shares = (values == self.building).astype(np.float32)
            fits = ignored | (values == 0) | (values == self.building)
            valid, accepted = valid & ~(ignored & valid), '0, 1 and 255' if self.building == 1 else '0 and 255'
        else:
            full = FULL_VALUES[self.name]
            shares = values.astype(np.float32) / np.float32(full)
            fits, accepted = (shares >= -TOLERANCE) & (shares <= 1 + TOLERANCE), f'0 to {full}'
        if (wrong := valid & ~fits).any():
            raise ValueError(
                f'{self.path} holds {_listed(values[wrong])}, but its values mean {self.name}: expected {accepted}; '
                f'apply a sigmoid to logits, declare a value that marks no data (gdal_edit -a_nodata), or {SAY}'
            )
        return np.where(valid, shares.clip(0, 1), np.float32('nan'))


def check_one_band(raster: Any, path: str | Path) -> None:
    """Refuse an open raster that has several bands besides alpha.

    Raises:
        ValueError: It is one.
    """
    if len([use for use in raster.dataset.colorinterp if use.name != 'alpha']) != 1:
        raise ValueError(f'{path} has {raster.dataset.count} bands; choose one: gdal_translate -b 1 ...')


def value_meaning(raster: Any, path: str | Path, said: str | None = None) -> ValueMeaning:
    """Decide what the values of the first band of an open raster mean.

    Args:
        raster: An open `Raster`; read to its end only where nothing but its values can tell.
        path: Its file, for messages.
        said: One of `MEANINGS`, which goes before all that the file says; None: nobody said.

    Raises:
        ValueError: It says nothing, and its values may mean several things; or they are no mask, as was said.
    """
    path, number = Path(path), raster.bands[0] - 1
    if said is not None and said not in MEANINGS:
        raise ValueError(f'values {said!r}: expected one of {", ".join(MEANINGS)}')
    scale, offset = float(raster.dataset.scales[number]), float(raster.dataset.offsets[number])
    tag = raster.dataset.tags().get(SCALE_TAG)
    declared = 'byte' if tag == BYTE_SCALE else 'probability' if (scale, offset) != (1, 0) else None
    if tag not in (None, BYTE_SCALE) and said is None:
        raise ValueError(f'{path}: the tag {SCALE_TAG}={tag!r} of its values is unknown; {SAY}')
    if said is not None and declared not in (None, said):
        print_log(f'{path} says that its values mean {declared}; taken as {said}, as asked', 'current', WARNING)
    chosen = said or declared
    if chosen not in (None, MASK):
        return ValueMeaning(chosen, path, scale=scale, offset=offset)
    found, odd = _survey(raster, scale, offset)
    if not odd.size:
        building = 1 if 1 in found or IGNORED not in found else IGNORED
        if building != IGNORED and IGNORED in found:
            print_log(f'{path} is a mask of {_listed(found)}: 1 is building, 255 is ignored', 'current')
        if not found.any() and (hidden := _value_declared_no_data(raster, number)) is not None:
            print_log(
                f'{path} holds no building: besides 0 there is {hidden:g} alone, which it declares to mean no data; if '
                f'{hidden:g} is building, take that back: gdal_edit.py -unsetnodata {path.name}',
                'current',
                WARNING,
            )
        return ValueMeaning(MASK, path, building, scale, offset)
    if chosen == MASK:
        raise ValueError(f'{path} is no mask: it holds {_listed(odd)}; expected 0 and 1, 0 and 255, or 0, 1 and 255')
    if ((odd >= -TOLERANCE) & (odd <= 1 + TOLERANCE)).all():
        return ValueMeaning('probability', path, scale=scale, offset=offset)
    raise ValueError(
        f'{path} holds {_listed(np.union1d(found, odd))} ({raster.dataset.dtypes[number]}), which may mean several '
        f'things; {SAY}; use --instances for numbers of buildings, and apply a sigmoid to logits'
    )


def _survey(raster: Any, scale: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of `MASK_VALUES` occur, and other values: some of those in the first window that has any."""
    found = np.zeros(0)
    for column, row in windows_of(raster.size_px, WINDOW_PX):
        _, values, valid = raster.read_values(column, row, WINDOW_PX, WINDOW_PX)
        physical = _physical(values[0], scale, offset)
        of_mask = [valid & (physical == value) for value in MASK_VALUES]
        found = np.union1d(found, [value for value, here in zip(MASK_VALUES, of_mask, strict=True) if here.any()])
        odd = physical[valid & ~np.any(of_mask, axis=0)]
        if odd.size:
            return found, np.unique(odd)
    return found, np.zeros(0)


def _value_declared_no_data(raster: Any, number: int) -> float | None:
    """The value of a mask's buildings, where it occurs and is declared to mean no data."""
    value = raster.dataset.nodatavals[number]
    corners = windows_of(raster.size_px, WINDOW_PX) if value in MASK_VALUES[1:] else ()
    windows = (raster.read_values(column, row, WINDOW_PX, WINDOW_PX)[1] for column, row in corners)
    return value if any((values == value).any() for values in windows) else None


def windows_of(size_px: tuple[int, int], side_px: int) -> Iterator[tuple[int, int]]:
    """Left upper corners (column, row) of the windows that cover a raster, row by row."""
    for row in range(0, size_px[1], side_px):
        for column in range(0, size_px[0], side_px):
            yield column, row


def _physical(values: np.ndarray, scale: float, offset: float) -> np.ndarray:
    return values if (scale, offset) == (1, 0) else values * np.float32(scale) + np.float32(offset)


def _listed(values: np.ndarray) -> str:
    """Some values for a message: the lowest, and the highest."""
    unique = np.unique(values)
    shown = [f'{value:g}' for value in unique[:3].tolist()]
    return ', '.join(shown) + (f' to {unique[-1]:g}' if unique.size > 3 else '')
