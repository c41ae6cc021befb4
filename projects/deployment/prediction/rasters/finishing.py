"""All strips of a raster become its results."""

import json
from logging import WARNING
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from projects.geodata.raster_strips import RasterGrid, join_strips
from projects.geodata.raster_values import BYTE_SCALE, SCALE_TAG
from projects.geodata.vector_files import geopandas, write_polygons
from projects.reporting.progress import progress_bar

from .instances import RasterInstances, merge_instances, to_footprints, to_map
from .job import RasterJob
from .polygons import FOOTPRINTS, INSTANCES, StripPolygons
from .state import RasterState


def finish_raster(job: RasterJob, state: RasterState, path: Path, polygons: StripPolygons | None) -> dict[str, Any]:
    """Join all strips, and return the report, which is JSON; polygons are given the strips that they have not yet.

    Raises:
        ValueError: No window could be read.
    """
    records = state.strips(range(len(job.rows.starts)))
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
    tables: dict[str, geopandas.GeoDataFrame] = {}
    if job.info.is_segmentor:
        names = list(job.layers)
    else:
        parts = [RasterInstances.from_record(record['instances']) for record in records]
        found = merge_instances(RasterInstances.concatenate(parts))
        report['instances'] = found.to_record()
        if job.raster.dataset.crs and not job.raster.transform.is_identity:
            tables[INSTANCES] = to_map(found, job.raster.transform, job.raster.dataset.crs, job.info)
            if (footprints := to_footprints(tables[INSTANCES])) is not None:
                tables[FOOTPRINTS] = footprints
        names = list(tables)
    if polygons is not None:
        polygons.add_files(range(len(records)))
    for name in names:
        final = state.final_path(name, 'tif' if job.layers else 'gpkg')
        temporary = state.draft_path(final)
        if job.layers:
            _join(job, state, records, name, temporary, notes)
        else:
            write_polygons(tables[name], temporary)
        moved[temporary] = final
        report['files'][name] = final.name
    state.finish(report, moved)
    if unreadable:
        print_log(f'{path}: {len(unreadable)} windows could not be read: {unreadable}', logger='current', level=WARNING)
    return report


def _join(
    job: RasterJob, state: RasterState, records: list[dict[str, Any]], name: str, path: Path, notes: list[str]
) -> None:
    grid = RasterGrid.of(job.raster.dataset)
    files = [state.strip_path(row, name) if record['has_files'] else None for row, record in enumerate(records)]
    strips = list(zip(job.rows.bounds[:-1], files, strict=True))
    tags = {'SKYLINE_MODEL': job.info.config, 'SKYLINE_CLASSES': json.dumps(job.info.classes)}
    tags |= {'SKYLINE_INPUT': '; '.join(notes)}
    if job.layers[name].dtype == 'uint8' and name != 'labels':
        tags[SCALE_TAG] = BYTE_SCALE
    with progress_bar(f'Writing {name}', grid.height) as advance:
        has_mask = not all(record['is_full'] for record in records)
        join_strips(path, job.layers[name], grid, strips, has_mask, tags, advance)
