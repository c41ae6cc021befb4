"""From a command's inputs to a folder of results: images, videos and rasters, by one process or several."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text
from torch import distributed

from projects.deployment.benchmark.timing import clock
from projects.deployment.model_info import ModelInfo
from projects.deployment.prediction.coco_results import polygons_to_annotations, write_coco
from projects.deployment.prediction.image_files import IMAGE, RASTER, VIDEO, InputFile
from projects.deployment.prediction.journal import Journal
from projects.deployment.prediction.prediction_files import PredictionSettings, merge, predict_files
from projects.deployment.prediction.rasters.run import join_processes, wait_for_all
from projects.deployment.prediction.videos import predict_video
from projects.deployment.predictor import Predictor
from projects.reporting.progress import progress_bars


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
        images_per_s: Images and frames per second; 0 if there were none.
    """

    num_files: int = 0
    num_predicted: int = 0
    num_complete: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rasters: dict[str, dict[str, Path]] = field(default_factory=dict)
    images_per_s: float = 0.0


def digest(*paths: str | Path) -> str:
    """A short name for the content of files."""
    total = hashlib.sha256()
    for path in paths:
        with Path(path).open('rb') as file:
            total.update(hashlib.file_digest(file, 'sha256').digest())
    return total.hexdigest()[:16]


def leave_processes() -> None:
    """End what `join_processes` began."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def predict_inputs(
    predictor: Predictor,
    files: list[InputFile],
    out: Path,
    settings: PredictionSettings,
    *,
    identity: dict[str, Any],
    resume: bool = False,
    predict_raster: Callable[[InputFile, Path], Any],
) -> RunReport | None:
    """Predict files into a folder.

    With several processes (`join_processes`), each takes its share of the images and videos, and all together each
    raster; the folder must be one that all of them see.

    Args:
        predictor: The model.
        files: From `find_inputs`, all of them in every process.
        out: Folder, made if need be.
        settings: What to write.
        identity: What the results depend on besides the settings, such as a digest of the weights: who resumes must
            have the same.
        resume: Go on where another run was stopped; only files without complete results are predicted.
        predict_raster: Calls `predict_raster` on a file, with the folder of its results.

    Returns:
        What came of it, in the first process; None in the others.

    Raises:
        FileExistsError: The folder has results, and they are not to be continued.
        ValueError: The results come from another model or other settings (says what differs), or the model can
            predict none of the images.
        OSError: A result cannot be written.
    """
    rank, num_processes = join_processes()
    journal = Journal(out, rank)
    if rank == 0:
        journal.begin({**identity, 'write': settings.write, 'score_threshold': settings.score_threshold}, resume)
    wait_for_all(num_processes)
    missing = journal.missing(files)
    wait_for_all(num_processes)  # until all have read, before anybody writes
    report = RunReport(len(missing), len(missing), len(files) - len(missing))
    mine = [file for file in missing if file.kind != RASTER][rank::num_processes]
    images, videos = ([file for file in mine if file.kind == kind] for kind in (IMAGE, VIDEO))
    begin, done = clock(), 0
    with progress_bars(Speed(), shown=rank == 0) as progress:
        if images:
            bar = progress.add_task('images', total=len(images))
            predict_files(predictor, images, journal, settings, lambda file: progress.advance(bar))
            done += len(images)
        for file in videos:
            bar = progress.add_task(file.path.name, total=None)
            predict_video(predictor, file, journal, settings, partial(_show_frames, progress, bar))
            done += int(progress.tasks[bar].completed)
    report.images_per_s = done / (clock() - begin)
    for file in missing:
        if file.kind == RASTER:
            _predict_raster(file, journal, rank, predictor.info, predict_raster)
    wait_for_all(num_processes)
    if rank > 0:
        return None
    for entry in journal.entries(files):
        if 'error' in entry or entry.get('damage'):
            report.failed.append((entry['path'], entry.get('error') or entry['damage']))
            report.num_predicted -= 'error' in entry
        report.notes += [f'{entry["path"]}: {note}' for note in entry.get('notes', ())]
        if 'layers' in entry:
            report.rasters[entry['name']] = {layer: out / path for layer, path in entry['layers'].items()}
    pictures = [file for file in files if file.kind == IMAGE]
    if pictures:
        merge(pictures, journal, predictor.info, settings.write)
    return report


def raster_folder(file: InputFile, out: Path) -> Path:
    """Where a raster's layers go: beside one another, apart where names are equal up to their suffix."""
    return out / 'rasters' / (file.name if file.name == file.file_name else Path(file.name).parent)


def _predict_raster(
    file: InputFile, journal: Journal, rank: int, info: ModelInfo, predict_raster: Callable[[InputFile, Path], Any]
) -> None:
    folder = raster_folder(file, journal.out)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        result = predict_raster(file, folder)
    except Exception as error:  # whatever it is, the other inputs are predicted
        if rank == 0:
            named = '' if isinstance(error, ValueError | OSError) else f'{type(error).__name__}: '
            journal.add(file, {'error': f'{named}{error}'})
        return
    if result is None:  # another process has it
        return
    damage = ''
    if result.unreadable:
        places = ', '.join(str(window) for window in result.unreadable[:5])
        damage = (
            f'{len(result.unreadable)} of {result.num_windows} windows cannot be read and have no data in the results '
            f'(column, row, width, height: {places}{", ..." if len(result.unreadable) > 5 else ""})'
        )
    name = None if result.instances is None else _write_objects(file, result.instances, journal.out, info)
    layers = {layer: os.path.relpath(path, journal.out) for layer, path in result.files.items()}
    names = [*layers.values(), *([] if name is None else [name])]
    journal.add(file, {'files': names, 'layers': layers, 'notes': result.notes, 'damage': damage})


def _write_objects(file: InputFile, instances: Any, out: Path, info: ModelInfo) -> str:
    """Write a raster's objects in its pixels, which is possible without a coordinate system too."""
    name = os.path.relpath(raster_folder(file, out) / f'{file.path.stem}_instances.json', out)
    annotations = ({'image_id': 1, **one} for one in polygons_to_annotations(instances))
    write_coco(out / name, info.classes, [{'id': 1, 'file_name': file.file_name}], annotations)
    return name


def _show_frames(progress: Progress, bar: TaskID, num_read: int, num_announced: int) -> None:
    progress.update(bar, completed=num_read, total=num_announced or None)


class Speed(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text('' if task.speed is None else f'{task.speed:.1f} images/s')
