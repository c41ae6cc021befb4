"""What was predicted already, in a folder of results, so that a killed run can go on."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from projects.deployment.prediction.image_files import InputFile
from projects.storage.atomic_files import replacing
from projects.storage.parameters import differences

Entry = dict[str, Any]
FOLDER, SETTINGS = '.journal', 'settings.json'


class Journal:
    """One line of JSON per file that was predicted; each process writes its own file and reads those of all.

    A line is written after the files that it names are complete. A line that a killed process left incomplete is
    cut off when the next run begins.

    Args:
        out: Folder of results.
        rank: Number of this process.
    """

    def __init__(self, out: Path, rank: int = 0) -> None:
        self.out, self.folder = out, out / FOLDER
        self.path = self.folder / f'{rank}.jsonl'
        self._lock = threading.Lock()

    def begin(self, settings: dict[str, Any], resume: bool) -> None:
        """Start a run, by one process alone and before the others read.

        Args:
            settings: All that results depend on, as JSON has it.
            resume: Go on with what is there, if anything is.

        Raises:
            FileExistsError: There are results, and they are not to be continued.
            ValueError: The results come from other settings; says which.
        """
        known = self.folder / SETTINGS
        if known.is_file():
            if not resume:
                raise FileExistsError(
                    f'{self.out} holds predictions already: continue them with --resume, or choose another --out'
                )
            if differing := differences(json.loads(known.read_text(encoding='utf-8')), settings):
                raise ValueError(
                    f'{self.out} cannot be resumed, it was begun with other settings ({"; ".join(differing)}); '
                    'use those, or choose another --out'
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.out.rglob('.*.partial.*'):
            leftover.unlink()
        for path in self.folder.glob('*.jsonl'):
            _cut_incomplete_line(path)
        with replacing(known) as partial:
            partial.write_text(json.dumps(settings), encoding='utf-8')

    def add(self, file: InputFile, entry: Entry) -> None:
        """Note what became of a file; threads may call at the same time.

        Args:
            file: What was predicted.
            entry: `error` if it could not be, else `files`, paths below the folder of results, and anything else.
        """
        which: Entry = {'name': file.name, 'file_name': file.file_name, 'path': str(file.path)}
        which |= {'place': _place(file.path), 'stamp': _stamp(file.path), 'written_ns': time.time_ns()}
        line = json.dumps({**which, **entry})
        with self._lock, self.path.open('a', encoding='utf-8') as journal:
            journal.write(f'{line}\n')

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

    def entries(self, files: Sequence[InputFile]) -> Iterator[Entry]:
        """The newest entry of each file, in the order of the files, one at a time."""
        names = {file.name for file in files}
        newest: dict[str, tuple[int, Path, int]] = {}
        for path in sorted(self.folder.glob('*.jsonl')):
            with path.open('rb') as journal:
                offset = 0
                for line in journal:
                    entry = json.loads(line)
                    name, written_ns = entry['name'], entry['written_ns']
                    if name in names and written_ns >= newest.get(name, (0,))[0]:
                        newest[name] = written_ns, path, offset
                    offset += len(line)
        for file in files:
            if file.name in newest:
                _, path, offset = newest[file.name]
                with path.open('rb') as journal:
                    journal.seek(offset)
                    yield json.loads(journal.readline())

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


def _cut_incomplete_line(path: Path) -> None:
    with path.open('rb+') as journal:
        content = journal.read()
        journal.truncate(content.rfind(b'\n') + 1)
