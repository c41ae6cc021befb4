"""The state of a long raster on disk: whoever kills its run at any moment leaves something that continues correctly."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from projects.storage.atomic_files import write_file
from projects.storage.folders import PARAMETERS, discard_folder, working_folder
from projects.storage.parameters import differences

from ..journal import Journal

EARLIER = 'run.json'  # of a version that had a file for each strip


class RasterState:
    """Finished strips of one raster, in a hidden folder beside the results, which a `Journal` lists.

    Args:
        out_dir: Folder of the results.
        stem: Their common name.
        identity: What must be equal for a run to be continued: image, model and settings, as JSON has them.
        writer: Number of this process, or another name that no other has.

    Attributes:
        folder: For everything that is unfinished.
        hands: What processes that wait for none have in hand; see `Hands`.
        finished: Strips that are done, as was last looked.
        report_path: Exists when all is finished, with all results.
    """

    def __init__(self, out_dir: Path, stem: str, identity: dict[str, Any], writer: int | str) -> None:
        self.folder = out_dir / f'.{stem}.partial'
        self.hands = self.folder / 'hands'
        self.report_path = out_dir / f'{stem}_prediction.json'
        self.finished: set[int] = set()
        self._path, self._identity = out_dir / stem, identity
        self._journal = Journal(self.folder, writer)
        self._drafts = self.folder / f'results-{token_hex(6)}'  # two may finish at the same time

    def look(self, resume: bool) -> None:
        """Find out which strips are `finished`, in each process.

        Args:
            resume: Continue; where nothing was left, begin.

        Raises:
            ValueError: Not to be continued, but there are finished strips; to be continued, but with another image,
                model or settings, or begun by an earlier version.
        """
        stated = self.folder / PARAMETERS
        if (self.folder / EARLIER).exists():
            raise ValueError(
                f'{self.folder} holds strips in the form of an earlier version; finish them with it, or delete this '
                'folder to start anew'
            )
        self.find_finished()
        if resume and stated.exists():
            self._check_identity(json.loads(stated.read_text()), self.folder)
        elif self.finished and not resume:
            raise ValueError(
                f'{self.folder} holds {len(self.finished)} finished strips of an interrupted run; continue it with '
                'resume (--resume), or delete this folder to start anew'
            )

    def find_finished(self) -> set[int]:
        """Strips that are done now, whoever did them."""
        self.finished = set(map(int, self._journal.names()))
        return self.finished

    def share(self) -> None:
        """Make the folder, or find it, as one of several who wait for none; what they do is the same.

        Raises:
            ValueError: Others do it to another image, with another model or settings.
        """
        self.folder.mkdir(exist_ok=True)
        if not (self.folder / PARAMETERS).exists():
            write_file(self.folder / PARAMETERS, json.dumps(self._identity))
        self._check_identity(json.loads((self.folder / PARAMETERS).read_text()), self.folder)

    @contextmanager
    def joining(self) -> Iterator[None]:
        """What `working` is, where all strips are done: no lock is needed, which not every shared disk has."""
        yield
        discard_folder(self.folder)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep the folder from other runs, in the first process alone; it is gone in the end, if all went well.

        Raises:
            FileExistsError: Another run is at it.
        """
        with working_folder(self._path, self._identity, overwrite=True):
            self._journal.mend()
            yield

    def finished_report(self) -> dict[str, Any] | None:
        """The report of an earlier run that is complete, if it was of the same image, model and settings.

        Raises:
            ValueError: It was of others.
        """
        if self.folder.exists() or not self.report_path.exists():
            return None
        report: dict[str, Any] = json.loads(self.report_path.read_text())
        self._check_identity(report['identity'], self.report_path)
        return report if all((self.report_path.parent / name).exists() for name in report['files'].values()) else None

    def final_path(self, layer: str, suffix: str) -> Path:
        """File of a layer in the end."""
        return self._path.with_name(f'{self._path.name}_{layer}.{suffix}')

    def draft_path(self, final: Path) -> Path:
        """Where a result is written, before `finish` gives it its place."""
        self._drafts.mkdir(exist_ok=True)
        return self._drafts / final.name

    def strip_path(self, row: int, layer: str) -> Path:
        """File of one strip of a layer."""
        return self.folder / f'strip_{row:06}_{layer}.tif'

    def finish_strip(self, row: int, record: dict[str, Any]) -> None:
        """Declare a strip finished, whose files are complete."""
        self._journal.write(str(row), record)

    def strips(self, rows: range) -> list[dict[str, Any]]:
        """The records of finished strips."""
        return list(self._journal.read(map(str, rows)))

    def finish(self, report: dict[str, Any], files: dict[Path, Path]) -> None:
        """Move complete files to their final names, and write the report."""
        for temporary, path in files.items():
            temporary.replace(path)
        write_file(self.report_path, json.dumps({'identity': self._identity, **report}, indent=1))

    def _check_identity(self, earlier: dict[str, Any], path: Path) -> None:
        if changes := differences(earlier, self._identity):
            raise ValueError(
                f'{path} is of another run, which cannot be continued: {"; ".join(changes)}. Run with what it was, or '
                'delete it to start anew'
            )
