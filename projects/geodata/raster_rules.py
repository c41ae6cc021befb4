"""What is decided when an image is opened: whether it is placed, which bands are read, and what becomes 0 and 255.

Each rule is stated in words, for the notes of the open image.
"""

from pathlib import Path
from typing import Any

import numpy as np

from projects.pixels.bit_depth import PERCENTILES, value_limits

from .gdal import rasterio
from .raster_data import Sample

ColorInterp = rasterio.enums.ColorInterp
RGB = ColorInterp.red, ColorInterp.green, ColorInterp.blue
PLACED_TO_PX = 0.1  # rotation that moves no pixel of the image by more is noise


class UnplacedError(ValueError):
    """An image that does not say where it lies, or not by a north-up grid."""


def check_placed(source: Any, path: Path) -> None:
    """Refuse an image without coordinate system, or one that is not north-up.

    Raises:
        UnplacedError: It is such an image; the message names the remedy.
    """
    if source.transform.is_identity and (source.gcps[0] or source.rpcs):
        how, option = _placed_by(source)
        raise UnplacedError(
            f'{path} is placed by {how} alone; resample it first: gdalwarp {option}-r bilinear {path.name} north_up.tif'
        )
    if not source.crs or source.transform.is_identity:
        raise UnplacedError(
            f'{path} has no {"geotransform" if source.crs else "coordinate system"}; place it first: gdal_translate '
            f'-a_srs EPSG:... -a_ullr WEST NORTH EAST SOUTH {path.name} placed.tif (-a_ullr where there is none yet)'
        )
    if not is_north_up(source):
        raise UnplacedError(
            f'{path} is not north-up (geotransform {tuple(source.transform[:6])}); resample it first: '
            f'gdalwarp -r bilinear {path.name} north_up.tif'
        )


def _placed_by(source: Any) -> tuple[str, str]:
    """What places an image without a geotransform, and gdalwarp's option for it."""
    if source.gcps[0]:
        crs = source.gcps[1]
        return f'{len(source.gcps[0])} ground control points', '' if crs else '-s_srs EPSG:... '
    return 'rational polynomial coefficients (RPC)', '-rpc -t_srs EPSG:... '


def placement_notes(source: Any) -> list[str]:
    """What `check_placed` would refuse and open_raster would resample, where an image is taken as it is stored."""
    if source.transform.is_identity and (source.gcps[0] or source.rpcs):
        how, option = _placed_by(source)
        return [
            f'placed by {how} alone, which GeoTIFFs of the result carry; for polygons in map coordinates resample it '
            f'first: gdalwarp {option}-r bilinear'
        ]
    notes = []
    if not source.crs:
        notes.append('no coordinate system: places are known in pixels alone')
    elif source.crs.is_geographic:
        notes.append(
            'in degrees: taken pixel by pixel, though pixels are not square on the ground; gsd_m would resample'
        )
    if source.transform.is_identity:
        notes.append('no geotransform: places are known in pixels alone')
    elif not is_north_up(source):
        notes.append(f'not north-up (geotransform {tuple(source.transform[:6])}): taken pixel by pixel')
    return notes


def is_north_up(source: Any) -> bool:
    """Whether rows run east and columns south; rotation that moves no pixel by `PLACED_TO_PX` is noise."""
    a, b, _, d, e, _ = source.transform[:6]
    noise = abs(b) * source.height <= PLACED_TO_PX * a and abs(d) * source.width <= -PLACED_TO_PX * e
    return noise and a > 0 and e < 0


def choose_bands(source: Any, path: Path, bands: tuple[int, ...] | None) -> tuple[tuple[int, ...], str]:
    """One band is grey; red, green and blue are those that the file calls so, else the first three besides alpha.

    Args:
        source: Open data set.
        path: Its file, for messages.
        bands: One or three numbers, from 1, instead of that rule.

    Returns:
        Numbers of bands, and the rule in words.

    Raises:
        ValueError: There are no such bands, or the rule finds none.
    """
    if any(np.dtype(kind).kind == 'c' for kind in source.dtypes):
        raise ValueError(f'{path} has complex pixels ({source.dtypes[0]}); expected real numbers')
    colors = [n for n, use in enumerate(source.colorinterp, 1) if use != ColorInterp.alpha]
    if bands is not None:
        if len(bands) not in (1, 3) or not set(bands) <= set(range(1, source.count + 1)):
            raise ValueError(f'bands {list(bands)}: expected 1 or 3 numbers from 1 to {source.count} for {path}')
        return tuple(bands), f'bands {list(bands)} as asked'
    if source.colorinterp[0] == ColorInterp.palette:
        raise ValueError(f'{path} has a colour table; expand it first: gdal_translate -expand rgb {path.name} rgb.tif')
    if len(colors) in (0, 2):
        raise ValueError(f'{path} has {len(colors)} bands besides alpha; choose 1 or 3 with bands')
    named = [source.colorinterp.index(use) + 1 for use in RGB if use in source.colorinterp]
    chosen = tuple(named if len(named) == 3 else colors[:3])
    return chosen, f'bands {list(chosen)} of {source.count} ({"grey" if len(chosen) == 1 else "red, green, blue"})'


def choose_limits(
    source: Any, bands: tuple[int, ...], sample: Sample, path: Path, as_stored: bool
) -> tuple[tuple[Any, Any] | None, str | None]:
    """Values that become 0 and 255, by the rule of `pixels.bit_depth`.

    Args:
        source: Open data set.
        bands: Those that are read; of several types, each is scaled by itself.
        sample: Of their pixels.
        path: The file, for messages.
        as_stored: Where no sampled pixel has data, take the full range of the data type.

    Returns:
        Both values, numbers or arrays (B, 1, 1), and the rule in words; None: 8 bits are kept.

    Raises:
        ValueError: No sampled pixel has data.
    """
    kinds = [source.dtypes[band - 1] for band in bands]
    bits = int(source.tags(bands[0], ns='IMAGE_STRUCTURE').get('NBITS', 8))
    if set(kinds) == {'uint8'}:
        if bits >= 8:
            return None, None
        return (0.0, 2.0**bits - 1), f'{bits} bits scaled: 0, {2**bits - 1} to 0, 255'
    stated = ', '.join(sorted(set(kinds)))
    if not sample.with_data.size:
        if not as_stored:
            raise ValueError(f'{path}: no pixel with data in the sample; gdalinfo shows its no-data value and mask')
        low, high = full_range(sample.values.dtype)
        return (low, high), f'{stated} scaled: no sampled pixel has data; the full range = {low:g}, {high:g} to 0, 255'
    if len(set(kinds)) == 1:
        low, high = value_limits(sample.with_data)
        return (low, high), f'{stated} scaled: percentiles {PERCENTILES} = {low:g}, {high:g} to 0, 255'
    limits = [value_limits(values) for values in sample.with_data]
    listed = '; '.join(
        f'band {n} ({kind}) {low:g}, {high:g}' for n, kind, (low, high) in zip(bands, kinds, limits, strict=True)
    )
    lows, highs = (np.array(side)[:, None, None] for side in zip(*limits, strict=True))
    return (lows, highs), f'bands of several types, each scaled: percentiles {PERCENTILES} to 0, 255: {listed}'


def full_range(kind: Any) -> tuple[float, float]:
    """Smallest and largest value of a data type of whole numbers, 0 and 1 for any other."""
    if np.dtype(kind).kind in 'iu':
        return float(np.iinfo(kind).min), float(np.iinfo(kind).max)
    return 0.0, 1.0
