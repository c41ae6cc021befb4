"""Which pixels of an image have data: one rule for every reader, found when the image is opened.

No data have pixels that a no-data value, a mask or an opacity (alpha) band says so of, those that are no finite number,
and those of a value that cannot be part of the picture, though the file does not declare it.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from projects.pixels.bit_depth import sample_windows
from projects.undeclared_data import EDGE_SHARE, find_undeclared, holds, is_number

from .gdal import rasterio

ColorInterp, MaskFlags = rasterio.enums.ColorInterp, rasterio.enums.MaskFlags
OPAQUE = 128  # of 255: a pixel that is at least half opaque has data
MAX_FILL_SPREAD = 8  # of 255: by which the colour of pixels without data differs, after compression
MAX_SOFT_SHARE = 0.1  # of what is not transparent, that an opacity may leave half transparent (soft seams)


class UnreadableWindowError(ValueError):
    """A part of an image that cannot be read, such as the end of a truncated file."""


class NoDataError(ValueError):
    """An image no pixel of which has data."""


@dataclass(frozen=True)
class DataRule:
    """Which pixels have data.

    Attributes:
        masked: Bands with a no-data value or a mask; a pixel has data where one of these masks says so.
        alpha: Band of opacity; None: there is none.
        opaque: The least opacity of a pixel with data.
        undeclared: Values that mean no data, without the file's saying so.
    """

    masked: tuple[int, ...] = ()
    alpha: int | None = None
    opaque: float = OPAQUE
    undeclared: tuple[float, ...] = ()

    def read(self, dataset: Any, window: Any, values: np.ndarray) -> np.ndarray:
        """Which pixels of a window have data, (h, w) boolean; `values` (B, h, w) are what was read of it."""
        valid = np.ones(values.shape[1:], dtype=bool)
        if self.masked:
            valid &= dataset.read_masks(self.masked, window=window).max(axis=0) >= OPAQUE
        if self.alpha is not None:
            valid &= dataset.read(self.alpha, window=window) >= self.opaque
        valid &= is_number(values)
        for value in self.undeclared:
            valid &= ~holds(values, value)
        return valid


@dataclass(frozen=True)
class Sample:
    """Pixels of windows on a regular grid over an image.

    Attributes:
        values: (B, N) as stored.
        valid: (N,) Which have data.
        is_edge: (N,) Which lie on the image's border.
        opacity: (N,) of the band that is flagged alpha, or may be opacity without that; None: there is none.
    """

    values: np.ndarray
    valid: np.ndarray
    is_edge: np.ndarray
    opacity: np.ndarray | None

    @property
    def with_data(self) -> np.ndarray:
        """(B, M) Values of the pixels that have data."""
        return self.values[:, self.valid]


def read_bands(dataset: Any, bands: tuple[int, ...], window: Any) -> np.ndarray:
    """Bands (B, h, w) as stored; of several types, which GDAL does not read at once, in one that holds them all."""
    if len({dataset.dtypes[band - 1] for band in bands}) == 1:
        return dataset.read(bands, window=window)
    return np.stack([dataset.read(band, window=window) for band in bands])


def find_data_rule(
    source: Any, bands: tuple[int, ...], *, look_closer: bool = True, strict: bool = False
) -> tuple[DataRule, Sample, list[str]]:
    """Find out which pixels of an open data set have data.

    Args:
        source: The data set.
        bands: Those that are read.
        look_closer: Notice undeclared values, too.
        strict: Do not pass over what cannot be read, as a server may give it the next time.

    Returns:
        The rule, a sample of the image, and what was noticed, in words.

    Raises:
        rasterio.errors.RasterioError: What is sampled cannot be read, and `strict`.
    """
    flags = source.mask_flag_enums
    masked = [band for band in bands if not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags[band - 1])]
    if masked and MaskFlags.per_dataset in flags[masked[0] - 1]:
        masked = masked[:1]  # one mask for all bands
    flagged = [n for n, use in enumerate(source.colorinterp, 1) if use == ColorInterp.alpha and n not in bands]
    rule = DataRule(tuple(masked))
    unnamed = None if flagged else _unnamed_band(source, bands)
    sample = _sampled(source, bands, rule, flagged[0] if flagged else unnamed, strict)
    notes = []
    if unnamed is not None and sample.opacity is not None and _says_where_data_is(sample.opacity, sample.values):
        rule = replace(rule, alpha=unnamed)
        sample = replace(sample, valid=sample.valid & (sample.opacity >= rule.opaque))
        notes.append(
            f'band {unnamed} holds 0 where red, green and blue are one colour, and 255 elsewhere: taken for opacity, '
            f'which the file does not say; if it is not: gdal_translate -b {" -b ".join(map(str, bands))}'
        )
    elif flagged and sample.opacity is not None:
        full = _full_opacity(sample.opacity)
        if full is None:
            low, high = sample.opacity.min(), sample.opacity.max()
            notes.append(
                f'band {flagged[0]} is called alpha, but holds values of a picture ({low:g} to {high:g}): taken for '
                'data, not for opacity'
            )
        else:
            rule = replace(rule, alpha=flagged[0], opaque=full / 2)
            sample = replace(sample, valid=sample.valid & (sample.opacity >= rule.opaque))
    for value in find_undeclared(sample.values, sample.valid, sample.is_edge) if look_closer else ():
        rule = replace(rule, undeclared=(*rule.undeclared, value))
        absent = holds(sample.values, value)
        notes.append(
            f'{value:g} is taken for no data, which the file does not declare ({absent.mean():.1%} of the sampled '
            'pixels)'
        )
        sample = replace(sample, valid=sample.valid & ~absent)
    if look_closer and sample.valid.size:
        notes += _collar_notes(sample)
    if not sample.valid.all():
        notes.append(f'{1 - sample.valid.mean():.1%} of the sampled pixels have no data')
    return rule, sample, notes


def _sampled(source: Any, bands: tuple[int, ...], rule: DataRule, alpha: int | None, strict: bool) -> Sample:
    width, height = source.width, source.height
    parts = []
    for column, row, w, h in sample_windows(width, height):
        window = rasterio.windows.Window(column, row, w, h)
        try:
            values = read_bands(source, bands, window)
            valid = rule.read(source, window, values)
            opacity = valid if alpha is None else source.read(alpha, window=window)
        except rasterio.errors.RasterioError:
            if strict:
                raise
            continue  # named when it is read
        rows, columns = np.arange(row, row + h)[:, None], np.arange(column, column + w)
        is_edge = (rows == 0) | (rows == height - 1) | (columns == 0) | (columns == width - 1)
        parts.append((values.reshape(len(bands), -1), valid.ravel(), is_edge.ravel(), opacity.ravel()))
    if not parts:
        kind = np.result_type(*(source.dtypes[band - 1] for band in bands))
        return Sample(np.zeros((len(bands), 0), kind), np.zeros(0, bool), np.zeros(0, bool), None)
    values, valid, is_edge, opacity = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return Sample(values, valid, is_edge, None if alpha is None else opacity)


def _full_opacity(opacity: np.ndarray) -> float | None:
    """What means opaque; None: these values are no opacity, but a picture, such as near infrared."""
    full = float(opacity.max())
    if not full > 0:
        return 1.0 if opacity.dtype.kind == 'f' else float(np.iinfo(opacity.dtype).max)
    soft = np.count_nonzero((opacity > 0) & (opacity < full)) / np.count_nonzero(opacity)
    is_usual = full.is_integer() and np.log2(full + 1).is_integer()  # 1, 255, 4095, 65535, ...
    may_be_soft = MAX_SOFT_SHARE if opacity.min() <= 0 else MAX_SOFT_SHARE / 10
    return full if soft <= (may_be_soft if is_usual else 0) else None


def _unnamed_band(source: Any, bands: tuple[int, ...]) -> int | None:
    """The fourth band of an image of 8 bits, beside red, green and blue, if the file does not say what it is."""
    if source.count != 4 or len(bands) != 3 or set(source.dtypes) != {'uint8'}:
        return None
    (other,) = set(range(1, 5)) - set(bands)
    return other if source.colorinterp[other - 1] in (ColorInterp.undefined, ColorInterp.gray) else None


def _says_where_data_is(opacity: np.ndarray, values: np.ndarray) -> bool:
    """Whether a band holds 0 where the picture has one colour, 255 elsewhere; a mask of objects has 0 on many."""
    if set(np.unique(opacity).tolist()) != {0, 255}:
        return False
    absent, present = values[:, opacity == 0], values[:, opacity == 255]
    return bool((np.ptp(absent, axis=1) <= MAX_FILL_SPREAD).all() and (np.ptp(present, axis=1) > MAX_FILL_SPREAD).any())


def _collar_notes(sample: Sample) -> list[str]:
    """Black or white along the border of an image may be a picture; it is said, and kept."""
    notes, kind = [], sample.values.dtype
    for value in (0, np.iinfo(kind).max) if kind.kind in 'iu' else (0,):
        same = holds(sample.values, value) & sample.valid
        if same.mean() >= EDGE_SHARE and same[sample.is_edge].mean() >= EDGE_SHARE:
            notes.append(
                f'{same.mean():.1%} of the sampled pixels are {value}, also along the border, and count as data; if '
                f'they are none, say so: gdal_edit.py -a_nodata {value}'
            )
    return notes
