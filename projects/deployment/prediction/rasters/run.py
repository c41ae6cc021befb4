"""The state of a long run on disk: whoever kills it at any moment leaves something that continues correctly."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import distributed

from projects.storage.atomic_files import replacing
from projects.storage.parameters import differences

LONGEST_WAIT = timedelta(days=30)  # of one process for the others


class RasterRun:
    """Finished strips of one raster, in a hidden folder beside the results.

    A strip is finished when its record exists, which is written after all of its files. What identifies the run, its
    image, model and settings, stands in `run.json`.

    Args:
        out_dir: Folder of the results.
        stem: Their common name.
        identity: What must be equal for a run to be continued, groups of JSON values by name.

    Attributes:
        folder: For everything that is unfinished.
        report_path: Exists when the run is finished, with all results.
    """

    def __init__(self, out_dir: Path, stem: str, identity: dict[str, dict[str, Any]]) -> None:
        self.folder = out_dir / f'.{stem}.partial'
        self.report_path = out_dir / f'{stem}_prediction.json'
        self._identity = identity
        self._lock = FileLock(self.folder / 'lock')
        self._done = out_dir / f'.{stem}.finished'  # a killed removal must not look like an unfinished run

    def __enter__(self) -> 'RasterRun':
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def begin(self, resume: bool) -> None:
        """Create the folder, or continue with the one that an earlier run left.

        Args:
            resume: Continue; where nothing was left, begin.

        Raises:
            ValueError: Not to be continued, but there are finished strips; to be continued, but with another image,
                model or settings; or another process is at it.
        """
        left = self.folder / 'run.json'
        finished = len(self._records())
        if resume and left.exists():
            self._check_identity(json.loads(left.read_text())['identity'], self.folder)
        elif finished and not resume:
            raise ValueError(
                f'{self.folder} holds {finished} finished strips of an interrupted run; continue it with resume '
                '(--resume), or delete this folder to start anew'
            )
        shutil.rmtree(self._done, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise ValueError(f'another process is writing to {self.folder}; wait for it, or end it') from error
        if not resume or not left.exists():
            with replacing(left) as temporary:
                temporary.write_text(json.dumps({'identity': self._identity}))

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

    def strip_path(self, row: int, layer: str) -> Path:
        """File of one strip of a layer."""
        return self.folder / f'strip_{row:06}_{layer}.tif'

    def is_finished(self, row: int) -> bool:
        """Whether a strip needs no more work."""
        return self._record_path(row).exists()

    def finish_strip(self, row: int, record: dict[str, Any]) -> None:
        """Declare a strip finished, whose files are complete."""
        with replacing(self._record_path(row)) as temporary:
            temporary.write_text(json.dumps(record))

    def read_strip(self, row: int) -> dict[str, Any]:
        """The record of a finished strip."""
        record: dict[str, Any] = json.loads(self._record_path(row).read_text())
        return record

    def finish(self, report: dict[str, Any], files: dict[Path, Path]) -> None:
        """Move complete files to their final names, write the report, and forget the strips."""
        for temporary, path in files.items():
            temporary.replace(path)
        with replacing(self.report_path) as temporary:
            temporary.write_text(json.dumps({'identity': self._identity, **report}, indent=1))
        shutil.rmtree(self.folder.rename(self._done), ignore_errors=True)

    def _record_path(self, row: int) -> Path:
        return self.folder / f'strip_{row:06}.json'

    def _records(self) -> list[Path]:
        return sorted(self.folder.glob('strip_??????.json'))

    def _check_identity(self, earlier: dict[str, dict[str, Any]], path: Path) -> None:
        if changes := differences(earlier, self._identity):
            raise ValueError(
                f'{path} is of another run, which cannot be continued: {"; ".join(changes)}. Run with what it was, or '
                'delete it to start anew'
            )


def join_processes() -> tuple[int, int]:
    """Rank and number of processes, as `torchrun` started them; they can wait for one another from here on."""
    if 'RANK' not in os.environ or 'WORLD_SIZE' not in os.environ:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group('gloo', timeout=LONGEST_WAIT)
    return distributed.get_rank(), distributed.get_world_size()


def wait_for_all(num_processes: int) -> None:
    """Go on when all processes have come here."""
    if num_processes > 1:
        distributed.barrier()


@contextmanager
def together(num_processes: int) -> Iterator[None]:
    """Go on when all processes have done a block; if one of them could not, none goes on.

    Raises:
        ValueError: The block failed in another process alone; what it raised in this one is raised as it is.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    reasons: list[str | None] = [None] * num_processes
    if num_processes > 1:
        distributed.all_gather_object(reasons, None if error is None else str(error) or type(error).__name__)
    if error is not None:
        raise error
    if failed := [reason for reason in reasons if reason is not None]:
        raise ValueError(f'another process failed: {failed[0]}')
