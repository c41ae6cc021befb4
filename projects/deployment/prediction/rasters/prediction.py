"""Prediction on georeferenced images of any size, in constant memory, in as many processes as there are.

Windows are read in one thread, predicted in another, and blended and written in the caller's. Rows of windows are
finished as strips (`run.py`), so that a killed run continues, and processes share the work.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from projects.deployment.model_info import ModelInfo
from projects.deployment.prediction.rasters.blending import RowBlender
from projects.deployment.prediction.rasters.instances import RasterInstances
from projects.deployment.prediction.rasters.layers import layers_of
from projects.deployment.prediction.rasters.pipeline import WindowResult, predict_windows
from projects.deployment.prediction.rasters.results import (
    RasterJob,
    detected_strip,
    finish_raster,
    segmented_strip,
)
from projects.deployment.prediction.rasters.run import RasterRun, join_processes, together
from projects.deployment.prediction.rasters.windows import WindowAxis, window_side
from projects.deployment.predictor import Predictor
from projects.geodata.raster_files import Raster, open_raster
from projects.reporting.progress import progress_bar

BATCH_BYTES = 256 * 2**20  # of probabilities that a call returns; there are up to three such results at a time


@dataclass(frozen=True)
class RasterSettings:
    """How a raster is predicted.

    Attributes:
        window_px: Side of the square windows; a model of fixed size has its own.
        overlap_px: What neighbouring windows share at least, at most half a window. None: an eighth of the window for
            segmentors, a quarter for detectors, for which it should exceed the size of most objects.
        batch_size: Windows per call, at most; a model of fixed batch has its own. Fewer, where the probabilities of
            many classes would take more than `BATCH_BYTES`.
        bands: One or three bands to read, from 1; None: as `open_raster` chooses.
        gsd_m: Resample the image to this ground sample distance as it is read; None: its own pixels, wherever it lies.
        layers: What is written of a segmentor; see `layers_of`.
        classes: Bands of the layer 'probabilities'; (): all.
        probability_dtype: 'uint8', whose 255 means 1, or 'float32'.
        min_score: Objects with a lower score are left out.
    """

    window_px: int = 512
    overlap_px: int | None = None
    batch_size: int = 4
    bands: tuple[int, ...] | None = None
    gsd_m: float | None = None
    layers: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    probability_dtype: str = 'uint8'
    min_score: float = 0.0


@dataclass(frozen=True)
class RasterResult:
    """What was predicted.

    Attributes:
        files: GeoTIFF of each layer, with a mask where some pixels have no data. Of a detector 'instances', a
            GeoPackage, if the raster has a coordinate system.
        notes: What was decided about the image, in words.
        unreadable: Column, row, width and height of the windows that could not be read.
        num_windows: All windows.
        num_predicted: Those that hold data and could be read.
        instances: Objects that a detector found.
    """

    files: dict[str, Path]
    notes: list[str]
    unreadable: list[tuple[int, int, int, int]]
    num_windows: int
    num_predicted: int
    instances: RasterInstances | None = None


def predict_raster(
    predictor: Predictor,
    path: str | Path,
    out_dir: str | Path,
    settings: RasterSettings = RasterSettings(),
    *,
    resume: bool = False,
    model_id: str = '',
) -> RasterResult | None:
    """Predict a raster window by window.

    Windows are given to the network pixel by pixel, without the recipe's resizing; `gsd_m` brings the ground to the
    scale of training. Pixels without data have none in the result. Windows without data are not predicted, those that
    cannot be read are listed in the end. A graph that gives labels alone is not blended: each pixel has the label of
    the window whose middle is nearer. Under `torchrun` each process takes some of the strips, and rank 0 joins them.

    Args:
        predictor: The model.
        path: Any image that GDAL reads; see `open_raster` for what is done with its bands and values.
        out_dir: Existing folder. Results appear complete or not at all; those of the same name are replaced.
        settings: How.
        resume: Continue a run that was interrupted, with the same image, model and settings; the result is the same.
        model_id: What names the weights, such as a checksum; another one is not resumed.

    Returns:
        What was predicted; None from all processes but rank 0.

    Raises:
        FileNotFoundError: There is no such image or folder.
        ValueError: The image or settings are unfit, no window can be read, or the run cannot be continued.
    """
    path, out_dir = Path(path), Path(out_dir)
    if not out_dir.is_dir():
        raise FileNotFoundError(f'the folder {out_dir} for results does not exist; create it first')
    rank, num_processes = join_processes()
    with ExitStack() as stack:
        with together(num_processes):
            as_stored = settings.gsd_m is None
            cached_rows = 2 * max(predictor.info.input_size or (settings.window_px,))
            raster = stack.enter_context(
                open_raster(
                    path, bands=settings.bands, gsd_m=settings.gsd_m, as_stored=as_stored, cached_rows=cached_rows
                )
            )
            job = _plan(predictor, raster, settings)
            run = RasterRun(out_dir, path.stem, _identity(path, predictor.info, settings, model_id))
            stack.enter_context(run)
            earlier = run.finished_report() if resume else None
            pending = [row for row in range(len(job.rows.starts)) if not run.is_finished(row)]
            if earlier is None and rank == 0:
                run.begin(resume)
        if earlier is None:
            with together(num_processes):
                share = slice(len(pending) * rank // num_processes, len(pending) * (rank + 1) // num_processes)
                _predict_strips(job, run, pending[share], rank == 0)
            if rank == 0:
                earlier = finish_raster(job, run, path)
    return None if rank or earlier is None else _result(earlier, out_dir)


def _plan(predictor: Predictor, raster: Raster, settings: RasterSettings) -> RasterJob:
    info = predictor.info
    width, height = raster.size_px
    sides = info.input_size or (window_side(height, settings.window_px), window_side(width, settings.window_px))
    smallest = min(info.input_size or (settings.window_px,))
    if smallest < 32 or settings.batch_size < 1:
        raise ValueError(
            f'window_px {settings.window_px}, batch_size {settings.batch_size}: expected at least 32 and 1'
        )
    overlap = smallest // (8 if info.is_segmentor else 4) if settings.overlap_px is None else settings.overlap_px
    if not 0 <= overlap <= smallest // 2:
        raise ValueError(f'overlap_px {overlap}: expected 0 to {smallest // 2}, half of the window')
    blend = info.is_segmentor and info.output != 'labels'
    rows, columns = (
        WindowAxis(length, side, min(overlap, side // 2), blend)
        for length, side in zip((height, width), sides, strict=True)
    )
    layers = {}
    if info.is_segmentor:
        layers = layers_of(info, settings.layers, settings.classes, settings.probability_dtype)
    elif settings.layers or settings.classes:
        raise ValueError(f'layers {list(settings.layers)}, classes {list(settings.classes)}: a detector has none')
    batch_size = settings.batch_size
    if info.is_segmentor:
        window_bytes = 4 * sides[0] * sides[1] * (1 if info.threshold is not None else len(info.classes))
        batch_size = min(batch_size, max(BATCH_BYTES // window_bytes, 1))
    return RasterJob(predictor, raster, rows, columns, layers, info.batch_size or batch_size, settings.min_score)


def _identity(path: Path, info: ModelInfo, settings: RasterSettings, model_id: str) -> dict[str, dict[str, Any]]:
    stat = path.stat()
    image = {'name': path.name, 'bytes': stat.st_size, 'modified_ns': stat.st_mtime_ns}
    return {'image': image, 'model': {**asdict(info), 'id': model_id}, 'settings': asdict(settings)}


def _predict_strips(job: RasterJob, run: RasterRun, mine: list[int], shown: bool) -> None:
    """Predict this process's share of the strips."""
    above = {row - 1 for row in mine if row} if job.rows.ramp_px else set()  # their lower ramps are blended in
    sequence = sorted({*mine, *above})
    blender = RowBlender(job.rows, job.columns)
    per_row = len(job.columns.starts)
    results = predict_windows(job.predictor, job.raster, job.rows, job.columns, sequence, job.batch_size)
    with closing(results), progress_bar('Predicting', len(sequence) * per_row, shown) as advance:
        for row in sequence:
            windows = _counted(islice(results, per_row), advance)
            if row not in mine:
                for window in windows:
                    blender.add(row, window.column, window.patch)
            elif job.info.is_segmentor:
                run.finish_strip(row, segmented_strip(job, run, row, windows, blender))
            else:
                run.finish_strip(row, detected_strip(job, windows))


def _result(report: dict[str, Any], out_dir: Path) -> RasterResult:
    return RasterResult(
        files={name: out_dir / file for name, file in report['files'].items()},
        notes=report['notes'],
        unreadable=[tuple(window) for window in report['unreadable']],
        num_windows=report['num_windows'],
        num_predicted=report['num_predicted'],
        instances=RasterInstances.from_record(report['instances']) if 'instances' in report else None,
    )


def _counted(windows: Iterable[WindowResult], advance: Callable[[int], None]) -> Iterator[WindowResult]:
    for window in windows:
        yield window
        advance(1)
