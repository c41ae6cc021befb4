"""Strips of a predicted raster, as each is finished and as all of them become the result."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from logging import WARNING
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from projects.deployment.model_info import ModelInfo
from projects.deployment.prediction.rasters.blending import RowBlender
from projects.deployment.prediction.rasters.instances import RasterInstances, merge_instances, place_detections, to_map
from projects.deployment.prediction.rasters.layers import layer_values
from projects.deployment.prediction.rasters.pipeline import WindowResult
from projects.deployment.prediction.rasters.run import RasterRun
from projects.deployment.prediction.rasters.windows import WindowAxis
from projects.deployment.predictor import Predictor
from projects.geodata.raster_files import Raster
from projects.geodata.raster_strips import LayerFile, RasterGrid, RasterLayer, create_strip, join_strips
from projects.geodata.raster_values import BYTE_SCALE, SCALE_TAG
from projects.geodata.vector_files import write_polygons
from projects.reporting.progress import progress_bar
from projects.storage.atomic_files import replacing


@dataclass(frozen=True)
class RasterJob:
    """What is the same for all strips.

    Attributes:
        predictor: The model.
        raster: The open image.
        rows: Windows from top to bottom.
        columns: Windows from left to right.
        layers: What is written of a segmentor.
        batch_size: Windows per call.
        min_score: Objects with a lower score are left out.
    """

    predictor: Predictor
    raster: Raster
    rows: WindowAxis
    columns: WindowAxis
    layers: dict[str, RasterLayer]
    batch_size: int
    min_score: float

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self.predictor.info


def segmented_strip(
    job: RasterJob, run: RasterRun, row: int, windows: Iterable[WindowResult], blender: RowBlender
) -> dict[str, Any]:
    """Write one strip, and return its record."""
    record = _Record(job)
    height = job.rows.bounds[row + 1] - job.rows.bounds[row]
    files: dict[str, LayerFile] = {}
    is_full = True
    with ExitStack() as stack:
        for window in windows:
            record.add(window)
            patch = blender.add(row, window.column, window.patch)
            is_full &= patch is not None and bool(patch.valid.all())
            if patch is None or not patch.valid.any():
                continue
            for name, bands in layer_values(patch.values, job.layers, job.info).items():
                if name not in files:
                    path = stack.enter_context(replacing(run.strip_path(row, name)))
                    files[name] = stack.enter_context(
                        create_strip(path, job.layers[name], job.columns.length_px, height)
                    )
                bands[:, ~patch.valid] = 0
                files[name].write(job.columns.bounds[window.column], 0, bands, patch.valid)
    return record.to_json() | {'has_files': bool(files), 'is_full': is_full}


def detected_strip(job: RasterJob, windows: Iterable[WindowResult]) -> dict[str, Any]:
    """The record of one strip, objects included."""
    record = _Record(job)
    found = []
    for window in windows:
        record.add(window)
        if window.detections is not None and window.valid is not None:
            detections = window.detections.select(window.detections.scores >= job.min_score)
            place = (window.row, window.column)
            found.append(place_detections(detections, window.valid, job.rows, job.columns, place, job.info))
    return record.to_json() | {'instances': RasterInstances.concatenate(found).to_record()}


class _Record:
    """Counts the windows of a strip."""

    def __init__(self, job: RasterJob) -> None:
        self._job, self._num_predicted = job, 0
        self._unreadable: list[tuple[int, int, int, int]] = []

    def add(self, window: WindowResult) -> None:
        self._num_predicted += window.valid is not None
        if not window.is_readable:
            columns, rows = self._job.columns, self._job.rows
            left, top = columns.starts[window.column], rows.starts[window.row]
            inside = min(columns.window_px, columns.length_px - left), min(rows.window_px, rows.length_px - top)
            self._unreadable.append((left, top, *inside))

    def to_json(self) -> dict[str, Any]:
        return {'num_predicted': self._num_predicted, 'unreadable': self._unreadable}


def finish_raster(job: RasterJob, run: RasterRun, path: Path) -> dict[str, Any]:
    """Join all strips, and return the report."""
    records = [run.read_strip(row) for row in range(len(job.rows.starts))]
    num_predicted = sum(record['num_predicted'] for record in records)
    unreadable = [tuple(window) for record in records for window in record['unreadable']]
    if unreadable and not num_predicted:
        raise ValueError(f'{path}: none of its windows with data could be read ({len(unreadable)} failed)')
    notes = list(job.raster.notes)
    if not num_predicted:
        notes.append('no pixel has data: nothing was predicted')
    report: dict[str, Any] = {'notes': notes, 'unreadable': unreadable, 'num_predicted': num_predicted}
    report |= {'num_windows': len(job.rows.starts) * len(job.columns.starts), 'files': {}}
    moved: dict[Path, Path] = {}
    if job.info.is_segmentor:
        names = list(job.layers)
    else:
        found = merge_instances(RasterInstances.concatenate(_instances(record) for record in records))
        report['instances'] = found.to_record()
        names = ['instances'] if job.raster.dataset.crs and not job.raster.transform.is_identity else []
    for name in names:
        final = run.report_path.with_name(f'{path.stem}_{name}.{"tif" if job.layers else "gpkg"}')
        temporary = run.folder / final.name
        if job.layers:
            _join(job, run, records, name, temporary, notes)
        else:
            write_polygons(to_map(found, job.raster.transform, job.raster.dataset.crs, job.info), temporary)
        moved[temporary] = final
        report['files'][name] = final.name
    run.finish(report, moved)
    if unreadable:
        print_log(f'{path}: {len(unreadable)} windows could not be read: {unreadable}', logger='current', level=WARNING)
    return report


def _instances(record: dict[str, Any]) -> RasterInstances:
    return RasterInstances.from_record(record['instances'])


def _join(
    job: RasterJob, run: RasterRun, records: list[dict[str, Any]], name: str, path: Path, notes: list[str]
) -> None:
    grid = RasterGrid.of(job.raster.dataset)
    files = [run.strip_path(row, name) if record['has_files'] else None for row, record in enumerate(records)]
    strips = list(zip(job.rows.bounds[:-1], files, strict=True))
    tags = {'SKYLINE_MODEL': job.info.config, 'SKYLINE_CLASSES': json.dumps(job.info.classes)}
    tags |= {'SKYLINE_INPUT': '; '.join(notes)}
    if job.layers[name].dtype == 'uint8' and name != 'labels':
        tags[SCALE_TAG] = BYTE_SCALE
    with progress_bar(f'Writing {name}', grid.height) as advance:
        has_mask = not all(record['is_full'] for record in records)
        join_strips(path, job.layers[name], grid, strips, has_mask, tags, advance)
