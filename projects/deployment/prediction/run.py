"""From a command's inputs to a folder of results: images, videos and rasters, by one process or several."""

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from projects.reporting.progress import progress_bars

from ..predictor import Predictor
from .image_files import IMAGE, RASTER, VIDEO, InputFile
from .journal import InputJournal
from .map_pages import write_image_maps, write_index
from .parts import MissingError, Part
from .prediction_files import PredictionSettings, merge, predict_files
from .processes import join_processes, wait_for_all
from .videos import predict_video


@dataclass
class RunReport:
    """What came of a run.

    Attributes:
        num_files: Images, videos and rasters that were to be predicted now.
        num_predicted: Those that were, at least in part.
        num_complete: Those that were complete before.
        failed: Path and reason of each that could not be predicted, or not to its end.
        notes: What was decided, in words.
        rasters: Paths of the layers that `predict_raster` wrote, by the raster's name.
        polygons: What became of the rasters' polygons, in words.
        maps: Pages with maps, and in the end the list of them, if they are several.
        images_per_s: Images and frames per second; 0 if there were none.
        missing: Parts that are to be run (again) before their results can be joined; what they lack is among `failed`.
    """

    num_files: int = 0
    num_predicted: int = 0
    num_complete: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rasters: dict[str, dict[str, Path]] = field(default_factory=dict)
    polygons: list[str] = field(default_factory=list)
    maps: list[Path] = field(default_factory=list)
    images_per_s: float = 0.0
    missing: list[Part] = field(default_factory=list)

    def as_text(self, out: Path, command: str) -> str:
        """What people read of it; `command` is the one that made it, without `--join`."""
        speed = f', {self.images_per_s:.1f} images/s' if self.images_per_s else ''
        before = f'; {self.num_complete} were complete before' if self.num_complete else ''
        wrote = f'wrote {out}: {self.num_predicted} of {self.num_files} inputs{speed}{before}'
        maps = [f'wrote {path}' for path in self.maps[-1:]]
        missing = [f'missing: {command} --part {part}' for part in self.missing]
        return '\n'.join([*self.notes, *self.polygons, *maps, wrote, *missing])


def predict_inputs(
    predictor: Predictor,
    files: list[InputFile],
    out: Path,
    settings: PredictionSettings,
    *,
    identity: dict[str, Any],
    resume: bool = False,
    join: bool = False,
) -> RunReport | None:
    """Predict files into a folder.

    With several processes (`join_processes`), each takes its share of the images and videos, and all together each
    raster; the folder must be one that all of them see.

    Args:
        predictor: The model.
        files: From `find_inputs`, all of them in every process.
        out: Folder, made if need be.
        settings: What to write.
        identity: What the results depend on besides the settings, of which 'weights' names the model's: who resumes
            must have the same.
        resume: Go on where another run was stopped; only files without complete results are predicted.
        join: Make the results of all that `predict_part` did, in any number of processes; nothing is predicted.

    Returns:
        What came of it, in the first process; None in the others.

    Raises:
        FileExistsError: The folder has results, and they are not to be continued.
        ValueError: The results come from another model or other settings (says what differs), or the model can
            predict none of the images.
        OSError: A result cannot be written.
    """
    rank, num_processes = join_processes()
    journal = InputJournal(out, rank)
    if rank == 0:
        journal.begin(settings.with_identity(identity), resume or join, alone=not join)
    wait_for_all(num_processes)
    missing = journal.missing(files)
    plain = [file for file in files if file.kind != RASTER]
    absent = {*range(len(plain))} - journal.finished_of(plain)() if join else set()
    if join:
        missing = [file for file in missing if file.kind == RASTER]
    wait_for_all(num_processes)  # until all have read, before anybody writes
    report = RunReport(len(missing), len(missing), len(files) - len(missing))
    if join:
        report = RunReport(len(files), len(files) - len(absent))
    if absent:
        error = MissingError('images and videos', absent, len(plain), journal.hands)
        report.failed.append((str(out), str(error)))
        report.missing += error.parts
    report.images_per_s = _predict_shares(predictor, missing, journal, settings, rank, num_processes)
    rasters = None
    if any(file.kind == RASTER for file in files):  # which need the extra 'geo'
        from .rasters.input_rasters import InputRasters

        rasters = InputRasters(predictor, journal, settings, identity['weights'], resume, join)
        for file in missing:
            if file.kind == RASTER:
                rasters.predict(file, rank)
    wait_for_all(num_processes)
    if rank > 0:
        return None
    by_name = {file.name: file for file in files}
    predicted = {file.name for file in missing}
    for entry in journal.entries(files):
        name = entry['name']
        if 'error' in entry or entry.get('damage'):
            report.failed.append((entry['path'], entry.get('error') or entry['damage']))
            report.num_predicted -= 'error' in entry
        report.notes += [f'{entry["path"]}: {note}' for note in entry.get('notes', ())]
        if 'layers' in entry:
            report.rasters[name] = {layer: out / path for layer, path in entry['layers'].items()}
            if rasters is not None and name not in predicted:
                rasters.write_again(by_name[name], report.rasters[name])
    if rasters is not None:
        report.missing += [part for part in rasters.missing if part not in report.missing]
        report.polygons = [rasters.lines[name] for name in report.rasters if name in rasters.lines]
        report.failed += [(name, rasters.failed[name]) for name in report.rasters if name in rasters.failed]
        report.maps = [rasters.maps[name] for name in report.rasters if name in rasters.maps]
    pictures = [file for file in files if file.kind == IMAGE]
    if pictures and not absent:
        merge(pictures, journal, predictor.info, settings.write)
    if settings.maps is not None:
        pages, without = write_image_maps(pictures, predicted, journal, predictor.info, settings.maps)
        report.maps += pages
        report.failed += without
        if len(report.maps) > 1:
            report.maps.append(write_index(out, report.maps))
    if join and not report.missing:
        journal.clean()
    return report


def _predict_shares(
    predictor: Predictor,
    missing: list[InputFile],
    journal: InputJournal,
    settings: PredictionSettings,
    rank: int,
    num_processes: int,
) -> float:
    """Predict this process's images and videos; how many images and frames that were per second."""
    mine = [file for file in missing if file.kind != RASTER][rank::num_processes]
    images, videos = ([file for file in mine if file.kind == kind] for kind in (IMAGE, VIDEO))
    begin, done = time.perf_counter(), 0
    with progress_bars(Speed(), shown=rank == 0) as progress:
        if images:
            bar = progress.add_task('images', total=len(images))
            predict_files(predictor, images, journal, settings, lambda file: progress.advance(bar))
            done += len(images)
        for file in videos:
            bar = progress.add_task(file.path.name, total=None)
            predict_video(predictor, file, journal, settings, partial(_show_frames, progress, bar))
            done += int(progress.tasks[bar].completed)
    return done / (time.perf_counter() - begin)


def _show_frames(progress: Progress, bar: TaskID, num_read: int, num_announced: int) -> None:
    progress.update(bar, completed=num_read, total=num_announced or None)


class Speed(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text('' if task.speed is None else f'{task.speed:.1f} images/s')
