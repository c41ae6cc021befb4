"""Prediction on georeferenced images of any size, in constant memory, in as many processes as there are.

Windows are read in one thread, predicted in the caller's, and blended and written in another. Rows of windows are
finished as strips (`strips.py`), so that a killed run continues, and processes share the work.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from projects.geodata.raster_files import Raster, open_raster
from projects.geodata.vector_files import geopandas
from projects.reporting.progress import progress_bar

from ...model_info import ModelInfo
from ...predictor import Predictor
from ..parts import Hands, MissingError, Part
from ..pipeline import through_network
from ..processes import join_processes, together
from .finishing import finish_raster
from .instances import RasterInstances, to_map
from .job import RasterJob
from .layers import layers_of
from .polygons import (
    INSTANCES,
    PROBABILITY,
    StripPolygons,
    polygons_of_files,
    polygons_of_objects,
    vectorization_of,
)
from .settings import PolygonSettings, RasterSettings
from .state import RasterState
from .strips import DetectedStrips, SegmentedStrips
from .windows import WindowAxis, window_side

PolygonMaker = Callable[[], geopandas.GeoDataFrame | None]
BATCH_BYTES = 256 * 2**20  # of probabilities that a call returns; there are up to three such results at a time


@dataclass(frozen=True)
class RasterResult:
    """What was predicted.

    Attributes:
        files: GeoTIFF of each layer, with a mask where some pixels have no data. Of a detector 'instances', a
            GeoPackage, if the raster has a coordinate system, and 'footprints', another one, if it finds offsets.
        notes: What was decided about the image, in words.
        unreadable: Column, row, width and height of the windows that could not be read.
        num_windows: All windows.
        num_predicted: Those that hold data and could be read.
        instances: Objects that a detector found.
        polygons: Makes those that were asked for, or raises why there are none; may return None: the layers have none.
    """

    files: dict[str, Path]
    notes: list[str]
    unreadable: list[tuple[int, int, int, int]]
    num_windows: int
    num_predicted: int
    instances: RasterInstances | None = None
    polygons: PolygonMaker | None = field(default=None, compare=False)


def predict_raster(
    predictor: Predictor,
    path: str | Path,
    out_dir: str | Path,
    settings: RasterSettings | None = None,
    *,
    polygons: PolygonSettings | None = None,
    resume: bool = False,
    join: bool = False,
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
        settings: How; None: as usual.
        polygons: Of buildings or objects, made while the raster is predicted; None: none.
        resume: Continue a run that was interrupted, with the same image, model and settings; the result is the same.
        join: Join what `predict_strips_of_part` made in any number of processes; nothing is predicted, nothing locked.
        model_id: What names the weights, such as a checksum; another one is not resumed.

    Returns:
        What was predicted; None from all processes but rank 0.

    Raises:
        FileExistsError: Another run is at it.
        FileNotFoundError: There is no such image or folder.
        MissingError: Strips of parts that are to be joined are not there.
        ValueError: The image or settings are unfit, no window can be read, or the run cannot be continued.
    """
    path, out_dir, settings = Path(path), Path(out_dir), settings or RasterSettings()
    rank, num_processes = join_processes()
    how = None if polygons is None else vectorization_of(polygons, predictor.info)
    make: PolygonMaker | None = None
    with ExitStack() as stack:
        with together(num_processes):
            job, state = stack.enter_context(_open(predictor, path, out_dir, settings, model_id, rank))
            num_rows = len(job.rows.starts)
            report = state.finished_report() if resume or join else None
            if report is None:
                state.look(resume or join)
                missing = {*range(num_rows)} - state.finished
                if join and missing:
                    raise MissingError('strips', missing, num_rows, state.hands)
        if report is None:
            with together(num_processes):
                if rank == 0:
                    stack.enter_context(state.joining() if join else state.working())
            buildings = None
            if rank == 0 and how is not None and PROBABILITY in job.layers:
                buildings = StripPolygons(job, state, how)
                make = buildings.finish
            with together(num_processes):
                pending = [row for row in range(num_rows) if row not in state.finished]
                mine = [pending[number] for number in Part(rank, num_processes).share(len(pending))]
                _predict_strips(job, state, mine, len(mine), buildings, rank == 0)
            if rank == 0:
                report = finish_raster(job, state, path, buildings)
        if rank or report is None:
            return None
        files = {name: out_dir / file for name, file in report['files'].items()}
        found = RasterInstances.from_record(report['instances']) if 'instances' in report else None
        if how is not None and found is not None and INSTANCES in files:
            placed = to_map(found, job.raster.transform, job.raster.dataset.crs, predictor.info)
            make = partial(polygons_of_objects, placed, job.raster.size_px, job.raster.transform, how)
        elif how is not None and make is None:
            make = partial(polygons_of_files, files, path, settings.gsd_m, how)
    return RasterResult(
        files=files,
        notes=report['notes'],
        unreadable=[tuple(window) for window in report['unreadable']],
        num_windows=report['num_windows'],
        num_predicted=report['num_predicted'],
        instances=found,
        polygons=make,
    )


def predict_strips_of_part(
    predictor: Predictor,
    path: str | Path,
    out_dir: str | Path,
    part: Part,
    settings: RasterSettings | None = None,
    *,
    model_id: str = '',
) -> int:
    """Predict strips of a raster, as one of several processes that share a folder and nothing else.

    It begins with its share, and goes on with whatever nobody has in hand; see `parts`. `predict_raster(join=True)`
    makes the results of all strips, which are those of one process, byte for byte.

    Args:
        predictor: The model.
        path: See `predict_raster`, as of the following.
        out_dir: Existing folder, the same for all parts.
        part: Which one this is; of one index there may be several, and those of other counts go together.
        settings: The same for all parts.
        model_id: The same for all parts.

    Returns:
        How many strips this process made.

    Raises:
        FileNotFoundError: There is no such image or folder.
        ValueError: The image or settings are unfit, or other than those of other parts.
    """
    path, out_dir, settings = Path(path), Path(out_dir), settings or RasterSettings()
    made: list[int] = []
    with _open(predictor, path, out_dir, settings, model_id, f'part{part.index}-{token_hex(6)}') as (job, state):
        if state.finished_report() is not None:
            return 0
        state.look(resume=True)
        total = len(job.rows.starts)

        def noted(rows: Iterator[int]) -> Iterator[int]:
            for row in rows:
                made.append(row)
                yield row

        try:
            state.share()
            with Hands(state.hands, part) as hands:
                while hands.is_more(total, state.find_finished):
                    mine = noted(hands.take(total, state.find_finished))
                    _predict_strips(job, state, mine, len(part.share(total)), None, shown=True)
        except FileNotFoundError:
            if state.finished_report() is None:
                raise
            # another part has made all of it, and it was joined meanwhile
    return len(made)


@contextmanager
def _open(
    predictor: Predictor, path: Path, out_dir: Path, settings: RasterSettings, model_id: str, writer: int | str
) -> Iterator[tuple[RasterJob, RasterState]]:
    """What is to be done to a raster, which is open meanwhile, and what is done of it."""
    if not out_dir.is_dir():
        raise FileNotFoundError(f'the folder {out_dir} for results does not exist; create it first')
    cached_rows = 2 * max(predictor.info.input_size or (settings.window_px,))
    options: dict[str, Any] = {'bands': settings.bands, 'gsd_m': settings.gsd_m, 'cached_rows': cached_rows}
    with open_raster(path, as_stored=settings.gsd_m is None, **options) as raster:
        job = _plan(predictor, raster, settings)
        yield job, RasterState(out_dir, path.stem, _identity(path, predictor.info, settings, model_id), writer)


def _plan(predictor: Predictor, raster: Raster, settings: RasterSettings) -> RasterJob:
    info = predictor.info
    width, height = raster.size_px
    overlap = settings.overlap_for(info)
    sides = info.input_size or (window_side(height, settings.window_px), window_side(width, settings.window_px))
    blend = info.is_segmentor and info.output != 'labels'
    rows, columns = (
        WindowAxis(length, side, min(overlap, side // 2), blend)
        for length, side in zip((height, width), sides, strict=True)
    )
    layers, batch_size = {}, settings.batch_size
    if info.is_segmentor:
        layers = layers_of(info, settings.layers, settings.classes, settings.probability_dtype)
        window_bytes = 4 * sides[0] * sides[1] * (1 if info.threshold is not None else len(info.classes))
        batch_size = min(batch_size, max(BATCH_BYTES // window_bytes, 1))
    return RasterJob(predictor, raster, rows, columns, layers, info.batch_size or batch_size, settings.min_score)


def _identity(path: Path, info: ModelInfo, settings: RasterSettings, model_id: str) -> dict[str, dict[str, Any]]:
    stat = path.stat()
    image = {'name': path.name, 'bytes': stat.st_size, 'modified_ns': stat.st_mtime_ns}
    return {'image': image, 'model': {**asdict(info), 'id': model_id}, 'settings': asdict(settings)}


def _predict_strips(
    job: RasterJob, state: RasterState, rows: Iterable[int], number: int, polygons: StripPolygons | None, shown: bool
) -> None:
    """Predict strips, of which there are about so many, as they are asked for."""
    strips = SegmentedStrips(job, state, polygons) if job.info.is_segmentor else DetectedStrips(job, state)
    done = through_network(
        job.network,
        job.places(rows),
        job.load,
        strips.add,
        batch_size=job.batch_size,
        is_fixed=job.info.batch_size is not None,
        in_order=True,
        close=strips.close,
    )
    with closing(done), progress_bar('Predicting', number * len(job.columns.starts), shown) as advance:
        for _ in done:
            advance(1)
