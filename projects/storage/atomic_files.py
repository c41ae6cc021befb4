"""Files that appear complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name, in the same folder and with the same suffix, whose file takes the place of `path` in the end.

    POSIX makes the renaming atomic: whoever is killed at any moment leaves the old file or the new one. If the block
    fails, the temporary file is removed and `path` is as it was.

    Args:
        path: The file to write, in an existing folder. Any number of machines may write the same one at the same time.

    Yields:
        Where to write it.

    Raises:
        FileNotFoundError: The folder does not exist; or nothing was written.
        OSError: The folder cannot be written to, or the disk is full.

    Example:
        >>> with replacing('scores.json') as temporary:
        ...     temporary.write_text('{}')
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f'cannot write {path}: the folder {path.parent} does not exist')
    temporary = path.with_name(f'.{path.stem}.{token_hex(6)}.partial{path.suffix}')
    try:
        yield temporary
        with temporary.open('rb') as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a whole file as `replacing` does; text as UTF-8.

    Raises:
        OSError: See `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
