"""What is finished of a run, in a folder, so that a killed one can go on."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from projects.storage.atomic_files import write_file
from projects.storage.parameters import differences

from .image_files import InputFile
from .parts import STALE_S, at_work

Entry = dict[str, Any]
Place = tuple[int, Path, int]  # of an entry: time in ns, file, and where in it
FOLDER, SETTINGS = '.journal', 'settings.json'


class Journal:
    """One line of JSON for whatever is finished; each process writes its own file and reads those of all.

    A line is written after the files that it names are complete. One that a killed process left incomplete is not
    read, and cut off by `mend`.

    Args:
        folder: Where the lines are.
        writer: Number of this process, or another name that no other has.
    """

    def __init__(self, folder: Path, writer: int | str = 0) -> None:
        self.folder, self.path = folder, folder / f'{writer}.jsonl'
        self._lock = threading.Lock()
        self._places: dict[str, Place] = {}
        self._read_to: dict[Path, int] = {}

    def mend(self) -> None:
        """Cut off incomplete lines, in one process alone and before any writes."""
        for path in self.folder.glob('*.jsonl'):
            with path.open('rb+') as journal:
                content = journal.read()
                journal.truncate(content.rfind(b'\n') + 1)

    def write(self, name: str, entry: Entry) -> None:
        """Note that something is finished; threads may call at the same time."""
        line = json.dumps({'name': name, **entry, 'written_ns': time.time_ns()})
        with self._lock, self.path.open('a', encoding='utf-8') as journal:
            journal.write(f'{line}\n')

    def names(self) -> set[str]:
        """What is finished."""
        return set(self.places())

    def read(self, names: Iterable[str]) -> Iterator[Entry]:
        """The newest entry of each that has one, in the order of the names, one at a time."""
        places = self.places()
        for name in names:
            if name in places:
                _, path, offset = places[name]
                with path.open('rb') as journal:
                    journal.seek(offset)
                    yield json.loads(journal.readline())

    def places(self) -> dict[str, Place]:
        """Where the newest entry of each is, by name; only what was added since the last call is read."""
        for path in sorted(self.folder.glob('*.jsonl')):
            with path.open('rb') as journal:
                offset = self._read_to.get(path, 0)
                journal.seek(offset)
                for line in journal:
                    if not line.endswith(b'\n'):
                        break
                    entry = json.loads(line)
                    if entry['written_ns'] >= self._places.get(entry['name'], (0,))[0]:
                        self._places[entry['name']] = entry['written_ns'], path, offset
                    offset += len(line)
                self._read_to[path] = offset
        return self._places


class InputJournal(Journal):
    """The inputs of a command that are finished, and what their results depend on.

    Args:
        out: Folder of results.
        writer: See `Journal`.

    Attributes:
        hands: What processes that wait for none have in hand; see `Hands`.
    """

    def __init__(self, out: Path, writer: int | str = 0) -> None:
        super().__init__(out / FOLDER, writer)
        self.out, self.hands = out, self.folder / 'hands'

    def begin(self, identity: dict[str, Any], resume: bool, alone: bool = True) -> None:
        """Start a run, by one process and before the others read; or by each of several who wait for none.

        Args:
            identity: All that results depend on, as JSON has it.
            resume: Go on with what is there, if anything is.
            alone: Nobody else is at it: what killed processes have left incomplete is removed.

        Raises:
            FileExistsError: There are results, and they are not to be continued.
            ValueError: The results were made otherwise, says what differs; or others are at it, who should not be.
        """
        known = self.folder / SETTINGS
        if known.is_file():
            if not resume:
                raise FileExistsError(
                    f'{self.out} holds predictions already: continue them with --resume, or choose another --out'
                )
            if differing := differences(json.loads(known.read_text(encoding='utf-8')), identity):
                raise ValueError(
                    f'{self.out} cannot be resumed, it was begun with other settings ({"; ".join(differing)}); '
                    'use those, or choose another --out'
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        if alone:
            if parts := at_work(self.hands):
                raise ValueError(
                    f'{self.out}: --part {", ".join(map(str, parts))} is at work there; wait for its end, or help with '
                    f'--part (one that was killed counts for {STALE_S:g} s more)'
                )
            self.clean()
        write_file(known, json.dumps(identity))

    def clean(self) -> None:
        """Remove what killed processes have left incomplete, when none is at it."""
        for leftover in self.out.rglob('.*.partial.*'):
            leftover.unlink(missing_ok=True)
        self.mend()

    def add(self, file: InputFile, entry: Entry) -> None:
        """Note what became of a file.

        Args:
            file: What was predicted.
            entry: `error` if it could not be, else `files`, paths below the folder of results, and anything else.
        """
        which = {'file_name': file.file_name, 'path': str(file.path)}
        self.write(file.name, which | {'place': _place(file.path), 'stamp': _stamp(file.path)} | entry)

    def missing(self, files: Sequence[InputFile]) -> list[InputFile]:
        """Those that have no results, failed, changed since, or whose results were removed.

        Raises:
            ValueError: The results of a name come from another file, whose results would be overwritten.
        """
        entries = {entry['name']: entry for entry in self.entries(files)}
        for file in files:
            before = entries.get(file.name, {}).get('place', _place(file.path))
            if before != _place(file.path) and Path(before).is_file():
                raise ValueError(
                    f'{self.out} holds results of {before} by the name {file.name}, which {file.path} has too; choose '
                    'another --out, or predict both in one run'
                )
        return [file for file in files if file.name not in entries or not self._is_complete(file, entries[file.name])]

    def finished_of(self, files: Sequence[InputFile]) -> Callable[[], set[int]]:
        """What tells, whenever it is called, which of the files are done by now: their numbers.

        Those that could not be predicted are done as well; a run that resumes tries them again.
        """
        errors = {entry['name'] for entry in self.entries(files) if 'error' in entry}
        missing = {file.name for file in self.missing(files)} - errors
        before = {name: self.places().get(name) for name in missing}

        def finished() -> set[int]:
            places = self.places()
            names = {name for name in missing if places.get(name) == before[name]}
            return {number for number, file in enumerate(files) if file.name not in names}

        return finished

    def entries(self, files: Sequence[InputFile]) -> Iterator[Entry]:
        """The newest entry of each file, in the order of the files, one at a time."""
        return self.read(file.name for file in files)

    def _is_complete(self, file: InputFile, entry: Entry) -> bool:
        return (
            'error' not in entry
            and entry['stamp'] == _stamp(file.path)
            and all((self.out / name).is_file() for name in entry['files'])
        )


def _place(path: Path) -> str:
    """Where a file is, wherever the command was given: files of one name in two folders are two."""
    return str(path.resolve())


def _stamp(path: Path) -> list[int] | None:
    """Size and time of change of a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
