"""What something on disk was made from, beside what is wanted of it now."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two sets of parameters, for the message that refuses to take one for the other.

    Args:
        before: As read from the file beside the results.
        now: Anything that JSON can say; a tuple equals the list that it is read back as.

    Returns:
        One text for each parameter that differs, nested ones by their dotted names; empty if they are the same.

    Example:
        >>> differences({'lr': 0.1, 'size': {'tile_px': 256}}, {'lr': 0.1, 'size': {'tile_px': 512}})
        ['size.tile_px: 256 before, 512 now']
    """
    there, wanted = flatten(before), flatten(json.loads(json.dumps(now)))
    names = [*wanted, *(name for name in there if name not in wanted)]
    return [
        f'{name}: {there.get(name)!r} before, {wanted.get(name)!r} now'
        for name in names
        if there.get(name) != wanted.get(name)
    ]


def digest(parts: Iterable[bytes]) -> str:
    """What stands for some content among parameters: a short text that differs if any of it does.

    Args:
        parts: Of the content, which are taken one after the other.

    Returns:
        The first 16 digits of their SHA-256.

    Example:
        >>> digest([b'tile', b's']) == digest([b'tiles'])
        True
    """
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()[:16]


def flatten(parameters: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested parameters by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in parameters.items():
        inner = isinstance(value, Mapping) and value
        flat |= flatten(value, f'{prefix}{name}.') if inner else {f'{prefix}{name}': value}
    return flat
