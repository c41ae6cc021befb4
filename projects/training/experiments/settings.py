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
    """
    return override(read_config(path).to_dict(), overrides)


def override(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings, of which none is changed, with others in their place: dotted keys as for `read_settings`."""
    found = {key: OPTION.fullmatch(key) for key in overrides}
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
