"""Folders that appear complete or not at all."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .atomic_files import write_file
from .parameters import differences

PARAMETERS = 'made_with.json'  # of what is kept to be continued


def check_folder(path: Path, entries: Set[str], sources: Iterable[Path] = (), overwrite: bool = False) -> None:
    """Refuse to write a folder that is in use, or that holds what is to be read.

    Args:
        path: The folder to write; it may be absent.
        entries: Names of all that may stand in it, as it is written.
        sources: Files and folders to read.
        overwrite: Whether what was written earlier may be replaced.

    Raises:
        FileExistsError: It is a file, holds other files, or was written earlier and may not be replaced.
        ValueError: A source lies in it, or it lies in a source.
    """
    for source in sources:
        one, other = path.resolve(), source.resolve()
        if other.is_relative_to(one) or one.is_relative_to(other):
            raise ValueError(f'the output folder {path} must lie apart from {source}')
    if not path.exists():
        return
    if not path.is_dir():
        raise FileExistsError(f'{path} is a file; expected a folder to write')
    held = {entry.name for entry in path.iterdir()}
    if held - entries:
        raise FileExistsError(f'{path} holds other files ({min(held - entries)}); choose a new or empty folder')
    if held and not overwrite:
        raise FileExistsError(f'{path} holds a set already; pass --overwrite to replace it, or choose another folder')


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """A hidden folder beside `path` that takes its place, and that of all it held, in the end.

    Whoever is killed at any moment leaves the old folder or the new one; between two renamings neither, and then the
    next block brings the old one back. What a killed block left is removed by the next one.

    Args:
        path: The folder to write; a link stays one. Folders above it are made.

    Yields:
        Where to write.

    Raises:
        FileExistsError: Another process is at it, or `path` is a mount point.

    Example:
        >>> with replacing_folder('tiles') as folder:
        ...     (folder / 'a.json').write_text('{}')
    """
    with working_folder(path) as folder:
        yield folder
        take_place(folder, path)


@contextmanager
def working_folder(
    path: str | Path, made_with: Mapping[str, Any] | None = None, overwrite: bool = False
) -> Iterator[Path]:
    """A hidden folder beside `path`, on the same disk, for what is needed while that is written; gone in the end.

    Args:
        path: What is written, a folder or a file.
        made_with: What the content of the hidden folder follows from. If given, a block that fails or is killed leaves
            its content, and the next one that is made with the same finds it; else each begins with an empty one.
        overwrite: Forget what a block that was made with other parameters has left.

    Raises:
        FileExistsError: Another process is at it; `path` is a mount point; or what was left was made with other
            parameters, which are named.
    """
    path = Path(path).resolve()
    if path.is_mount():
        raise FileExistsError(f'{path} is where a disk is mounted, and cannot be replaced; choose a folder in it')
    path.parent.mkdir(parents=True, exist_ok=True)
    folder, replaced = _beside(path, 'partial'), _beside(path, 'replaced')
    lock = FileLock(_beside(path, 'partial.lock'))
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise FileExistsError(f'another process is writing {path}; wait for it, or choose another folder') from error
    try:
        if replaced.exists() and not path.exists():
            replaced.replace(path)
        for left in (replaced, _beside(path, 'discarded')):
            shutil.rmtree(left, ignore_errors=True)
        if not _may_go_on(folder, made_with, overwrite):
            discard_folder(folder)
        folder.mkdir(exist_ok=True)
        if made_with is not None:
            write_file(folder / PARAMETERS, json.dumps(made_with))
        try:
            yield folder
        except BaseException:
            if made_with is None:
                discard_folder(folder)
            raise
        discard_folder(folder)
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def take_place(folder: Path, path: str | Path) -> None:
    """Give a complete folder, on the same disk, the name `path`; what had it before is gone."""
    path = Path(path).resolve()
    replaced = _beside(path, 'replaced')
    if path.exists():
        path.replace(replaced)
    folder.replace(path)
    shutil.rmtree(replaced, ignore_errors=True)


def discard_folder(folder: Path) -> None:
    """Remove a folder so that, whoever is killed meanwhile, no half of it stands under its name."""
    if folder.exists():
        shutil.rmtree(folder.replace(folder.with_suffix('.discarded')), ignore_errors=True)


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f'.{path.name}.{kind}')


def _may_go_on(folder: Path, made_with: Mapping[str, Any] | None, overwrite: bool) -> bool:
    """Whether what an interrupted block left was made with the same."""
    stated = folder / PARAMETERS
    if made_with is None or not stated.exists():
        return False
    differing = differences(json.loads(stated.read_text()), made_with)
    if differing and not overwrite:
        raise FileExistsError(
            f'{folder} holds an interrupted run with other settings or sources ({"; ".join(differing)}); repeat those '
            'to go on with it, or pass --overwrite to start anew'
        )
    return not differing
