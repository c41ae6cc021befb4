"""Numbers as people read them."""

import math
from collections.abc import Sequence
from typing import Any

NOTHING = '–'


def fixed(value: float | None, digits: int = 1, signed: bool = False) -> str:
    """A number with so many decimals; a dash for None and NaN, and never a negative zero.

    Example:
        >>> fixed(81.25), fixed(-0.04), fixed(0.5, 2, signed=True), fixed(None)
        ('81.2', '0.0', '+0.50', '–')
    """
    if value is None or math.isnan(value):
        return NOTHING
    return f'{round(float(value), digits) + 0.0:{"+" if signed else ""}.{digits}f}'


def with_spread(value: float | None, spread: float | None, digits: int = 1, signed: bool = False) -> str:
    """A number and how far it may be off: '81.2 ± 0.4'; the number alone where that is not known, or not finite."""
    text = fixed(value, digits, signed)
    return (
        text if text == NOTHING or spread is None or not math.isfinite(spread) else f'{text} ± {fixed(spread, digits)}'
    )


def three_digits(value: float | None) -> str:
    """Three digits or the whole number: 0.71, 4.80, 16.7, 396."""
    return fixed(value, 2 if value is None or value < 9.995 else 1 if value < 99.95 else 0)


def with_range(low: float, middle: float, high: float) -> str:
    """A number and what lies around it, such as '4.81 (4.70–4.95)'."""
    return f'{three_digits(middle)} ({three_digits(low)}–{three_digits(high)})'


def file_size(size_bytes: float, digits: int = 1) -> str:
    """Such as '12.3 MiB'."""
    return f'{fixed(size_bytes / 2**20, digits)} MiB'


def counted(number: int, what: str) -> str:
    """'1 thread', '2 threads'."""
    return f'{number} {what}{"" if number == 1 else "s"}'


def finite_or_none(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if math.isfinite(value) else None


def plain(value: Any) -> str:
    """A value as a reader would write it: 0.25, yes, '10, 40' for a list of both, a dash for None."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.6g}'
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ', '.join(plain(each) for each in value) or NOTHING
    return str(value)
