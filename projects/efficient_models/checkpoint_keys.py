"""Loading checkpoints whose parameters bear other names."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn


def rename_keys(state_dict: dict[str, Any], renamed_prefixes: Mapping[str, str], prefix: str = '') -> None:
    """Rename the keys of a state dict in place.

    Args:
        state_dict: Tensors by key.
        renamed_prefixes: Our prefix for each foreign one; every prefix ends with a dot, and none begins another.
            Keys under no foreign prefix keep their names.
        prefix: Where in the state dict the module stands, for instance `'backbone.'`; other keys are left alone.
    """
    for key in [key for key in state_dict if key.startswith(prefix)]:
        name = key[len(prefix) :]
        for foreign, own in renamed_prefixes.items():
            if name.startswith(foreign):
                state_dict[prefix + own + name[len(foreign) :]] = state_dict.pop(key)
                break


def accept_foreign_keys(module: nn.Module, renamed_prefixes: Mapping[str, str]) -> None:
    """Make `load_state_dict` understand foreign keys, of the module alone and of any model that contains it.

    Args:
        module: The module to which the prefixes are relative.
        renamed_prefixes: As in `rename_keys`.
    """
    module.register_load_state_dict_pre_hook(partial(_rename_on_load, dict(renamed_prefixes)))


def _rename_on_load(
    renamed_prefixes: dict[str, str], module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any
) -> None:
    rename_keys(state_dict, renamed_prefixes, prefix)
