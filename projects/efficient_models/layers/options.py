"""Options that say what they may be, checked before anything is built from them."""

import inspect
import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import Annotated, Any, NamedTuple, get_args, get_origin

LONGEST = 80  # characters of a value in an error


class Kind(NamedTuple):
    """What an option may be.

    Attributes:
        expected: For people, after 'must be'.
        accepts: Whether a value is of this kind.
    """

    expected: str
    accepts: Callable[[Any], bool]


def _is_whole(value: Any, least: int = 1, most: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_odd(value: Any) -> bool:
    return _is_whole(value) and value % 2 == 1


def _is_list(value: Any, accepts: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(accepts, value))


def _is_number(value: Any, least: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < math.inf


Count = Annotated[int, Kind('a whole number of 1 or more', _is_whole)]
CountOrNone = Annotated[int, Kind('a whole number of 0 or more', lambda value: _is_whole(value, 0))]
Percent = Annotated[int, Kind('a whole number from 0 to 100', lambda value: _is_whole(value, 0, 100))]
OddCount = Annotated[int, Kind('an odd whole number of 1 or more', _is_odd)]
Counts = Annotated[
    Sequence[int], Kind('a list of whole numbers of 1 or more, not empty', lambda value: _is_list(value, _is_whole))
]
OddCounts = Annotated[
    Sequence[int], Kind('a list of odd whole numbers of 1 or more, not empty', lambda value: _is_list(value, _is_odd))
]
Power = Annotated[float, Kind('a finite number of 1 or more', lambda value: _is_number(value, 1))]
Switch = Annotated[bool, Kind('True or False', lambda value: isinstance(value, bool))]


def checks_options(init: Callable[..., None]) -> Callable[..., None]:
    """Make an `__init__` refuse options that it does not have, and values that are not of the annotated `Kind`.

    What depends on several options is for the class itself to check; it finds each of its kind.

    Args:
        init: Its options are annotated with `Count`, `Switch` or another of this file.

    Returns:
        The same, which raises ValueError with one sentence: the option, the class, what was expected, what was given.
    """
    parameters = list(inspect.signature(init).parameters.values())[1:]
    names = [parameter.name for parameter in parameters]
    kinds = {one.name: kind_of(one.annotation) for one in parameters}
    defaults = {one.name: one.default for one in parameters}

    @wraps(init)
    def checked(self: object, /, *given: Any, **options: Any) -> None:
        built, known = type(self).__name__, names[len(given) :]
        for option in options:
            if option not in known:
                raise ValueError(f'{built} has no option {option!r}.{did_you_mean(option, known)}')
        for option, value in [*zip(names, given, strict=False), *options.items()]:
            if value is not defaults[option] and (kind := kinds[option]) and not kind.accepts(value):
                raise ValueError(f'{option} of {built} must be {kind.expected}, got {_shown(value)}.')
        init(self, *given, **options)

    return checked


def kind_of(annotation: Any) -> Kind | None:
    """Return the kind that an annotation states, if it does."""
    found = (one.__metadata__[0] for one in (annotation, *get_args(annotation)) if get_origin(one) is Annotated)
    return next(found, None)


def did_you_mean(option: str, known: Sequence[str]) -> str:
    """Return what follows an error about an option: the closest one there is, and all of them."""
    close = get_close_matches(option, known, n=1)
    hint = f' Did you mean {close[0]}?' if close else ''
    return f'{hint} Its options are {", ".join(known)}.' if known else ' It has none.'


def _shown(value: Any) -> str:
    """Return a value on one line, of which errors do not become unreadable."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= LONGEST else f'{text[:LONGEST]}…'
