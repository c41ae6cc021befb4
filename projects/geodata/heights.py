"""Heights above ground as people write them: metres, feet and inches, storeys, text, and marks for unknown."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from logging import INFO, WARNING
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

# Classes of buildings. The study that they follow (arXiv 2311.03867) names the four and states no limits.
CLASS_LIMITS_M = (12.0, 35.0, 100.0)  # a height equal to one belongs to the upper class
CLASS_NAMES = ('low-rise', 'mid-rise', 'high-rise', 'skyscraper')
UNKNOWN_CLASS = 'unknown height'

STOREY_M = 3.0  # assumed of each where a number of storeys is all that is known
FOOT_M, INCH_M = 0.3048, 0.0254
LIMIT_M = 2000.0  # greater numbers are no heights of buildings, but marks such as 32767
TALLEST_M = 900.0  # above what has been built; decides between '1,234' as thousands and as thousandths
UNUSUAL_MEDIAN_M = 100.0  # half of the buildings of no town are as tall
NINES = {999, 9999, 99999, 999999}  # marks of unknown heights, with or without decimals
UNKNOWN = {'-', '--', '?', 'n/a', 'na', 'n.a.', 'nan', 'nil', 'none', 'null', 'unknown', 'no data', 'nodata'}
STOREYS = {'storey', 'storeys', 'story', 'stories', 'floor', 'floors', 'level', 'levels'}
UNIT_M = {'m': 1.0, 'metre': 1.0, 'metres': 1.0, 'meter': 1.0, 'meters': 1.0, 'cm': 0.01, 'mm': 0.001, 'dm': 0.1}
UNIT_M |= {"'": FOOT_M, 'ft': FOOT_M, 'foot': FOOT_M, 'feet': FOOT_M}
UNIT_M |= {'"': INCH_M, 'in': INCH_M, 'inch': INCH_M, 'inches': INCH_M} | dict.fromkeys(STOREYS, STOREY_M)
NOT_UNDERSTOOD = 'not understood'
SHOWN = 5
QUOTES = str.maketrans({'′': "'", '’': "'", '‘': "'", '´': "'", '`': "'", '″': '"', '”': '"', '“': '"', '−': '-'})
NUMBER = r'(?P<{0}>[+-]?(?:[\d.,][\d., ]*\d|\d)(?:e[+-]?\d+)?)'
WRITTEN = re.compile(
    r'(?:~|≈|about|approx\.?|ca\.?|c\.)?\s*'
    + NUMBER.format('number')
    + r'\s*(?P<unit>[^\W\d]+|[\'"])?\.?'
    + rf'(?:[\s-]*{NUMBER.format("inches")}\s*(?:"|in|inch|inches)\.?)?(?:\s*\(.*\))?'
)
PLAIN = re.compile(r'[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:e[+-]?\d+)?')
GROUPED = re.compile(r'[+-]?\d{1,3}(?:[ ,]\d{3})+(?:\.\d+)?')  # 1,234.5
GROUPED_BY_POINTS = re.compile(r'[+-]?\d{1,3}(?:[ .]\d{3})+(?:,\d+)?')  # 1.234,5
AMBIGUOUS = re.compile(r'[1-9]\d{0,2},\d{3}')


def read_heights(values: Iterable[object], column: str, path: str | Path) -> np.ndarray:
    """Heights in metres; what is no height of a building is unknown, and counted in the log with examples.

    Read are numbers, and text such as '12.5', '12,5 m', '1 234.5', '40 ft', '3 storeys', and feet with inches. Numbers
    without a unit are metres, or what the column's name says: feet for `height_ft`, storeys of `STOREY_M` for
    `building:levels`. Zero, negative and infinite numbers, 999 and 9999, and more than `LIMIT_M` are marks for unknown.

    Args:
        values: N numbers, texts, or None.
        column: Their name.
        path: Their file, for messages.

    Returns:
        (N,) Metres, NaN is unknown.

    Raises:
        ValueError: There is text, and none of it is a height or says that it is unknown.

    Example:
        >>> read_heights(['12,5', '40 ft', 'n/a', 9999], 'height', 'a.gpkg').round(2).tolist()
        [12.5, 12.19, nan, nan]
    """
    cells: list[Any] = [value if _is_number(value) else _text(value) for value in values]
    unit = _unit_of(column)
    points = any(isinstance(cell, str) and re.search(r'\d\.\d', cell) for cell in cells)
    read = {cell: _read(cell, unit, points) for cell in dict.fromkeys(cells)}
    heights_m = np.array([read[cell][0] for cell in cells], dtype=float)
    reasons = Counter(read[cell][1] for cell in cells if read[cell][1])
    odd = [cell for cell, (_, reason) in read.items() if reason == NOT_UNDERSTOOD]
    examples = ', '.join(map(repr, odd[:SHOWN]))
    known = int(np.isfinite(heights_m).sum())
    if odd and not known and not {str(cell).casefold() for cell in odd} <= UNKNOWN:
        raise ValueError(
            f'{path}: the column {column!r} holds something else than heights: {examples}; expected numbers, or text '
            'such as 12.5, 12 m, 40 ft or 3 storeys'
        )
    text = f'{path}: heights from {column!r} in {unit}: {known} known, {len(heights_m) - known} unknown'
    text += f' ({", ".join(f"{count} {reason}" for reason, count in reasons.items())})' if reasons else ''
    print_log(text + (f', such as {examples}' if odd else ''), logger='current', level=WARNING if odd else INFO)
    if known and (median_m := float(np.nanmedian(heights_m))) > UNUSUAL_MEDIAN_M:
        print_log(f'{path}: half of the heights exceed {median_m:g} m; are they in metres?', 'current', WARNING)
    return heights_m


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _text(value: object) -> str:
    missing = value is None or str(value) in ('<NA>', 'NaT')
    return '' if missing else unicodedata.normalize('NFKC', str(value).translate(QUOTES)).replace("''", '"').strip()


def _unit_of(column: str) -> str:
    """What a column's name says about numbers without unit: 'feet', 'cm', 'mm', 'storeys'; else 'metres'."""
    words = {word.lower() for word in re.findall(r'[A-Z]?[a-z]+|[A-Z]+', column)}
    if words & {'ft', 'feet', 'foot'}:
        return 'feet'
    if words & {'floors', 'levels', 'storeys', 'stories'} and not words & {'height', 'hgt'}:
        return 'storeys'
    return next((unit for unit in ('cm', 'mm') if unit in words), 'metres')


def _read(cell: Any, unit: str, points: bool) -> tuple[float, str]:
    """Metres, and why they are unknown ('' where they are not)."""
    number, meters = np.nan, np.nan
    if not isinstance(cell, str):
        number = float(cell)
        meters = number * UNIT_M[unit]
    elif cell:
        written = WRITTEN.fullmatch(cell.casefold())
        stated = written and (written['unit'] or unit)
        if written is None or stated not in UNIT_M or (written['inches'] and UNIT_M[stated] != FOOT_M):
            return np.nan, NOT_UNDERSTOOD
        meters = _number(written['number'], UNIT_M[stated], points) * UNIT_M[stated]
        number = meters / UNIT_M[stated] if written['unit'] is None or UNIT_M[stated] == 1 else np.nan
        if written['inches']:
            meters += _number(written['inches'], INCH_M, points) * INCH_M
        if np.isnan(meters):
            return np.nan, NOT_UNDERSTOOD
    if np.isnan(meters):
        return np.nan, 'empty'
    if meters <= 0:
        return np.nan, 'zero or negative'
    if meters > LIMIT_M or (np.isfinite(number) and int(number) in NINES):
        return np.nan, 'a mark such as 9999'
    return meters, ''


def _number(text: str, unit_m: float, points: bool) -> float:
    """A number with the separators of any locale; NaN is none.

    '1,234' is 1234 where `points` says that the column has decimal points, or where that is a possible height.
    """
    thousands = float(text.replace(',', '')) if AMBIGUOUS.fullmatch(text) else np.inf
    if (points and np.isfinite(thousands)) or thousands * unit_m <= TALLEST_M:
        return thousands
    if PLAIN.fullmatch(text):
        return float(text.replace(',', '.'))
    if GROUPED.fullmatch(text):
        return float(re.sub('[ ,]', '', text))
    if GROUPED_BY_POINTS.fullmatch(text):
        return float(re.sub('[ .]', '', text).replace(',', '.'))
    return np.nan
