"""What was found in the files of a large data set, kept in the user's cache until one of them changes."""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from projects.storage.atomic_files import write_file
from projects.storage.parameters import digest


class FindingsCache:
    """The findings of one question about some files.

    Args:
        kind: Of findings: a folder's name.
        question: Everything but the content of the files that the findings depend on, with a `repr` that says it.
        files: Their paths. Size and time of change stand for the content.
    """

    def __init__(self, kind: str, question: Any, files: Iterable[str]) -> None:
        folder = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache', 'skyline', kind)
        self._path = folder / f'{digest((repr(question).encode(), *map(_state, files)))}.json'

    def read(self) -> dict[str, Any] | None:
        """What `write` was given; None if nothing that can be read is there."""
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(self._path.read_text())
            return content if isinstance(content, dict) else None
        return None

    def write(self, findings: dict[str, Any]) -> None:
        """Keep findings that JSON can hold, if the user's cache can be written to."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, json.dumps(findings))


def _state(path: str) -> bytes:
    try:
        status = os.stat(path)  # noqa: PTH116 (a path as text, once per image)
    except OSError:
        return f'{path}\0absent\n'.encode()
    return f'{path}\0{status.st_size}\0{status.st_mtime_ns}\n'.encode()
