"""Study and grid files, and what the command line overrides in them."""

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config import read_config

OPTION = re.compile(r'((?:methods\.[^.]+\.)?options)\.(.+)')


def read_settings(path: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Read a Python file of assignments, as mmengine's configs are.

    Args:
        path: The file.
        overrides: Dotted keys and values. Behind `options.` and `methods.NAME.options.` stands the dotted key of a
            config as one name, as it does in the file: it takes the place of that option and of no other.

    Returns:
        The assignments.

    Raises:
        ValueError: A value takes the place of a group of settings.
    """
    return override(read_config(path).to_dict(), overrides)


def override(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings, of which none is changed, with others in their place: dotted keys as for `read_settings`."""
    found = {key: OPTION.fullmatch(key) for key in overrides}
    for key, value in overrides.items():
        _refuse_to_replace_a_group(settings, key, value)
    cfg = Config(deepcopy(dict(settings)))
    cfg.merge_from_dict({key: value for key, value in overrides.items() if not found[key]})
    changed = cfg.to_dict()
    for key, match in found.items():
        if match is not None:
            target = changed
            for name in match[1].split('.'):
                target = target.setdefault(name, {})
            target[match[2]] = overrides[key]
    return changed


def _refuse_to_replace_a_group(settings: Mapping[str, Any], key: str, value: Any) -> None:
    """Raise if a value that has no settings of its own, as a text or a number, would stand for those that there are."""
    held: Any = settings
    for name in key.split('.'):
        held = held.get(name) if isinstance(held, Mapping) else None
    if isinstance(held, Mapping) and value is not None and not isinstance(value, Mapping):
        raise ValueError(f'{key} is {value!r}; expected settings of it, such as {key}.{next(iter(held), "NAME")}=VALUE')


def check_keys(where: str, given: Any, known: Mapping[str, bool]) -> None:
    """Refuse keys that are unknown, and the lack of those that are required.

    Args:
        where: For the message.
        given: The settings.
        known: By key, whether it is required.

    Raises:
        ValueError: Says which; or these are no settings.
    """
    check_group(where, given)
    if unknown := given.keys() - known.keys():
        raise ValueError(f'{where}: unknown keys {sorted(unknown)}; known are {sorted(known)}')
    if missing := {key for key, required in known.items() if required} - given.keys():
        raise ValueError(f'{where}: missing keys {sorted(missing)}')


def check_group(where: str, given: Any) -> None:
    """Refuse what should be settings by name, and is something else.

    Raises:
        ValueError: Says what it is.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f'{where} is {given!r}; expected settings by name, as dict(NAME=...)')
