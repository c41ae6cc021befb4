"""Names for what is made of files, by which no two of them meet."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath


def names_apart(paths: Sequence[str | PurePath]) -> list[str]:
    """A name for each of some different files: its path without suffix, with it where files differ in that alone.

    Args:
        paths: Relative to one folder, so that a name is a path below the folder of what is made.

    Returns:
        As many names, with `/`, all different.

    Example:
        >>> names_apart(['a/1.png', 'b/1.png', 'b/2.png', 'b/2.jpg'])
        ['a/1', 'b/1', 'b/2.png', 'b/2.jpg']
    """
    files = [PurePath(path) for path in paths]
    stems = Counter(path.with_suffix('') for path in files)
    taken = set(files)
    return [
        (path if stems[path.with_suffix('')] > 1 or path.with_suffix('') in taken else path.with_suffix('')).as_posix()
        for path in files
    ]


def picture_names(paths: Sequence[str]) -> dict[str, str]:
    """Names for pictures made of images: the images' own without suffix, and `names_apart` of those that repeat."""
    stems = Counter(PurePath(path).stem for path in paths)
    repeated = [path for path in dict.fromkeys(paths) if stems[PurePath(path).stem] > 1]
    shared = os.path.commonpath([os.path.dirname(path) for path in repeated]) if repeated else ''  # noqa: PTH120
    apart = names_apart([os.path.relpath(path, shared or '.') for path in repeated])
    return {path: PurePath(path).stem for path in paths} | dict(zip(repeated, apart, strict=True))
