"""Splits that two sets have in common: rendered for one, copied for the other."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .report import SplitCounts
from .tile_files import TileJob

DIGESTS = 'split_digests'
DECIDE_BESIDE_JOBS = ('layout', 'city', 'crs')


def digest(jobs: Sequence[TileJob]) -> str:
    """A short text that differs if any tile of a split does, in the same city."""
    return hashlib.sha256(repr(jobs).encode()).hexdigest()[:16]


def shared_splits(other: Path, parameters: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, SplitCounts]:
    """The splits that come out the same as in another set, with what they hold.

    Args:
        other: A finished set.
        parameters: What the wanted set is made with.
        digests: Of each wanted split.

    Raises:
        FileNotFoundError: There is no finished set.
    """
    held = json.loads((other / 'parameters.json').read_text())
    if any(held[key] != parameters[key] for key in DECIDE_BESIDE_JOBS):
        return {}
    theirs = held.get(DIGESTS, {})
    return {name: SplitCounts(**held['counts'][name]) for name, own in digests.items() if theirs.get(name) == own}


def copy_split(other: Path, folder: Path, name: str, info: Mapping[str, Any]) -> None:
    """Copies the files of a split.

    Args:
        other: The set that has it.
        folder: The set that receives it.
        name: Of the split.
        info: What the copied COCO file says about its set.
    """
    shutil.copytree(other / name, folder / name, dirs_exist_ok=True)
    shutil.copy2(other / f'{name}.png', folder)
    coco = folder / name / 'instances.json'
    coco.write_text(json.dumps(json.loads(coco.read_text()) | {'info': info}))
