"""The state of a long raster on disk: whoever kills its run at any moment leaves something that continues correctly."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from projects.storage.atomic_files import write_file
from projects.storage.folders import PARAMETERS, working_folder
from projects.storage.parameters import differences

from ..journal import Journal

EARLIER = 'run.json'  # of a version that had a file for each strip


class RasterState:
    """Finished strips of one raster, in a hidden folder beside the results, which a `Journal` lists.

    Args:
        out_dir: Folder of the results.
        stem: Their common name.
        identity: What must be equal for a run to be continued: image, model and settings, as JSON has them.
        rank: Number of this process.

    Attributes:
        folder: For everything that is unfinished.
        report_path: Exists when all is finished, with all results.
    """

    def __init__(self, out_dir: Path, stem: str, identity: dict[str, Any], rank: int) -> None:
        self.folder = out_dir / f'.{stem}.partial'
        self.report_path = out_dir / f'{stem}_prediction.json'
        self.finished: set[int] = set()
        self._path, self._identity = out_dir / stem, identity
        self._journal = Journal(self.folder, rank)

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
        self.finished = set(map(int, self._journal.names()))
        if resume and stated.exists():
            self._check_identity(json.loads(stated.read_text()), self.folder)
        elif self.finished and not resume:
            raise ValueError(
                f'{self.folder} holds {len(self.finished)} finished strips of an interrupted run; continue it with '
                'resume (--resume), or delete this folder to start anew'
            )

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
