"""A city -> building tiles on disk: images, masks, instances, heights and tables for each split.

`FOLDER/SPLIT/{images,masks,instances,heights,buildings}/TILE.*`, `FOLDER/SPLIT/instances.json` (COCO),
`FOLDER/SPLIT.png` and `FOLDER/overview.png` (to look at), `FOLDER/parameters.json` (what the set was made with, and
its counts) and `FOLDER/LICENSE.md`.
"""

import json
import math
import multiprocessing
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock
from mmengine.logging import print_log

from projects.city_scenes.areas import Demand, Places, divide_ground, place_tiles
from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain, Flight
from projects.reporting.progress import track
from projects.storage.folders import replacing_folder
from projects.storage.parameters import digest

from ...height_classes import HeightClasses
from ..tile_set import LICENSE_NOTE, Origin, coco_file, make_folders, write_license_note
from .contact_sheet import sheet_indices, write_sheet
from .finished_sets import DIGESTS, copy_split, find_finished, fingerprint, shared_splits
from .overview import write_overview
from .report import ScenesReport, SplitCounts
from .tile_files import RenderedTile, TileJob, write_tile

LAYOUT = 3
"""Raised when the contents of the files change, so that an old set is not taken for a new one."""
PIXELS_PER_PROCESS = 100 * 512**2
"""Fewer are rendered sooner than another process has started."""


def write_scenes(
    city: City,
    domains: Mapping[str, Domain],
    gsd_m: float,
    tile_px: int,
    folder: str | Path,
    seed: int = 0,
    num_processes: int | None = None,
    *,
    ground_shares: Mapping[str, float] | None = None,
    gap_off_nadir_deg: Mapping[str, float] | None = None,
    min_area_px: int = 16,
    height_classes: HeightClasses | None = None,
    like: str | Path | None = None,
    license: str | None = None,
) -> ScenesReport:
    """Renders the splits of a data set on separate ground; no building is seen in two of them.

    `areas` says how the ground is divided; that, too, is drawn from the seed.

    The set appears complete or not at all: it is written beside `folder` and renamed. After an interruption it starts
    anew. If the folder holds a set of the same parameters nothing is written. The files are the same whatever
    `num_processes` is.

    Args:
        city: What stands on the ground. If it has a coordinate system, images are GeoTIFFs.
        domains: How each split is seen and labelled.
        gsd_m: Ground sample distance, metres per pixel.
        tile_px: Side of a tile in pixels.
        folder: What to write; it must not exist, be empty, or hold the same set.
        seed: Draws the division of the ground, places, angles, displacements and noise.
        num_processes: Processes to render with; None: one for each `PIXELS_PER_PROCESS`, at most one for each
            processor.
        ground_shares: For each split its part of the built ground; None: in proportion to the number of tiles.
        gap_off_nadir_deg: For some splits an angle at which their tiles show no building of another split either, if
            their own are smaller: so sets that differ in that split's angles alone have the same ground.
        min_area_px: Buildings with fewer pixels in a tile's label are left out of all its files, as background.
        height_classes: Classes to spread over the splits and to count; None: the default ones.
        like: A finished set; splits whose tiles come out the same are copied from it.
        license: Licence of the files that the city was read from, and whom to name; see `Origin`. A set that is there
            already is given the one that is stated.

    Returns:
        Counts of each split.

    Raises:
        ValueError: The folder holds another set or other files, or the ground is too small.
        FileNotFoundError: `like` holds no finished set.
    """
    folder, classes = Path(folder), height_classes or HeightClasses()
    shares = dict(ground_shares or {name: float(domain.num_tiles) for name, domain in domains.items()})
    if shares.keys() != domains.keys() or min(shares.values()) <= 0:
        raise ValueError(f'ground_shares = {shares}: expected a number above 0 for each of {", ".join(domains)}.')
    gap_angles_deg = dict(gap_off_nadir_deg or {})
    if unknown := gap_angles_deg.keys() - domains.keys():
        raise ValueError(f'gap_off_nadir_deg names {sorted(unknown)}, which are none of {", ".join(domains)}.')
    parameters = {
        'layout': LAYOUT,
        'city': fingerprint(city),
        'crs': city.buildings.crs,
        'domains': {name: _stated(domain) for name, domain in domains.items()},
        'gsd_m': gsd_m,
        'tile_px': tile_px,
        'seed': seed,
        'ground_shares': shares,
        'gap_off_nadir_deg': gap_angles_deg,
        'min_area_px': min_area_px,
        'height_classes': asdict(classes),
    }
    parameters = json.loads(json.dumps(parameters))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f'.{folder.name}.lock')):
        if (report := find_finished(folder, parameters)) is not None:
            if license:
                _write_license_note(folder, city, license)
            return report
        jobs = _plan(city, domains, shares, gap_angles_deg, gsd_m, tile_px, seed, min_area_px, classes)
        digests = {name: digest([repr(split_jobs).encode()]) for name, split_jobs in jobs.items()}
        shared = {} if like is None else shared_splits(Path(like), parameters, digests)
        anew = [job for name, split_jobs in jobs.items() if name not in shared for job in split_jobs]
        report = ScenesReport({}, classes.names_with_unknown)
        with replacing_folder(folder) as unfinished:
            for name in domains:
                make_folders(unfinished / name, 'surfaces')
            with _renderer(city, unfinished, num_processes or _suitable_processes(anew)) as render:
                for name, split_jobs in jobs.items():
                    info = {'description': f'Rendered off-nadir scenes, {name}', 'parameters': parameters}
                    if like is not None and name in shared:
                        copy_split(Path(like), unfinished, name, info)
                        report.splits[name] = shared[name]
                        continue
                    written = list(track(render(split_jobs), description=f'Render {name}', total=len(split_jobs)))
                    report.splits[name] = _finish_split(unfinished, name, written, info, classes)
            corners_m = {name: np.array([job.west_north_m for job in split_jobs]) for name, split_jobs in jobs.items()}
            write_overview(unfinished / 'overview.png', city, corners_m, tile_px * gsd_m, classes)
            stated = {'counts': {name: asdict(split) for name, split in report.splits.items()}, DIGESTS: digests}
            (unfinished / 'parameters.json').write_text(json.dumps(parameters | stated, indent=1) + '\n')
            _write_license_note(unfinished, city, license)
    return report


def _stated(domain: Domain) -> dict[str, Any]:
    """A domain as parameters; without the style that sets had before there were several."""
    return {name: value for name, value in asdict(domain).items() if (name, value) != ('style', 'plain')}


def _plan(
    city: City,
    domains: Mapping[str, Domain],
    shares: dict[str, float],
    gap_angles_deg: dict[str, float],
    gsd_m: float,
    tile_px: int,
    seed: int,
    min_area_px: int,
    classes: HeightClasses,
) -> dict[str, list[TileJob]]:
    """Says of each tile where it lies and how it is seen."""
    places = Places(city, classes.index(city.structure_heights_m), len(classes.names_with_unknown))
    tile_m = tile_px * gsd_m
    flights: dict[str, list[tuple[Flight, int]]] = {}
    demands = {}
    for name, domain in domains.items():
        flights[name] = []
        for number in range(domain.num_tiles):
            random = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            flights[name].append((domain.draw(gsd_m, random), int(random.integers(2**31))))
        lean = max(domain.lean, math.tan(math.radians(gap_angles_deg.get(name, 0))))
        demands[name] = Demand(shares[name], lean, max(math.hypot(*f.displacement_m) for f, _ in flights[name]))
    areas = divide_ground(demands, places, tile_m, np.random.default_rng([seed, zlib.crc32(b'ground')]))
    jobs: dict[str, list[TileJob]] = {}
    for name, domain in domains.items():
        area, random = areas[name], np.random.default_rng([seed, zlib.crc32(name.encode())])
        print_log(
            f'{name}: room for {len(area.cells_m)} tiles with buildings side by side; {area.left_out} more are left '
            'out, as they may show a building of another split',
            logger='current',
        )
        where = place_tiles(area, domain.num_tiles, tile_m, places, demands[name], random)
        preview = sheet_indices(len(where))
        jobs[name] = [
            TileJob(
                name, number, (round(west, 2), round(north, 2)), tile_px, domain, flight, tile_seed, min_area_px,
                number in preview, classes,
            )
            for number, ((west, north), (flight, tile_seed)) in enumerate(
                zip(where.tolist(), flights[name], strict=True)
            )
        ]  # fmt: skip
    return jobs


def _write_license_note(folder: Path, city: City, license: str | None) -> None:
    origins = [Origin(part, file, license) for part, file in city.files.items()]
    of, city_license = ('these files', 'theirs') if origins else ('an invented city', 'Apache-2.0, as Skyline')
    made = Origin('images and labels', f'rendered by Skyline, of {of}', city_license)
    write_license_note(folder / LICENSE_NOTE, [*origins, made])


_city: City
_folder: Path


def _start_process(city: City, folder: Path) -> None:
    global _city, _folder
    _city, _folder = city, folder
    cv2.setNumThreads(1)


def _write_in_process(job: TileJob) -> RenderedTile:
    return write_tile(_city, _folder, job)


@contextmanager
def _renderer(city: City, folder: Path, num_processes: int) -> Iterator[Any]:
    """A `map` over jobs, in order, in this process or in several."""
    if num_processes == 1:
        yield partial(map, partial(write_tile, city, folder))
        return
    # 'spawn': a forked child would inherit locks of torch's and OpenCV's threads
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(num_processes, context, _start_process, (city, folder)) as pool:
        yield partial(pool.map, _write_in_process)


def _suitable_processes(jobs: Sequence[TileJob]) -> int:
    num_px = sum(job.tile_px**2 for job in jobs)
    return min(num_px // PIXELS_PER_PROCESS + 1, os.cpu_count() or 1)


def _finish_split(
    folder: Path, name: str, written: list[RenderedTile], info: dict[str, Any], classes: HeightClasses
) -> SplitCounts:
    """Writes what needs all tiles of a split: the COCO file and the contact sheet."""
    (folder / name / 'instances.json').write_text(json.dumps(coco_file(written, info)))
    write_sheet(folder / f'{name}.png', [tile.preview for tile in written if tile.preview is not None], classes)
    heights_m = np.array([a['building_height'] for tile in written for a in tile.annotations], dtype=float)
    counts = np.bincount(classes.index(heights_m), minlength=len(classes.names_with_unknown))
    return SplitCounts(
        tiles=len(written),
        empty_tiles=sum(not tile.annotations for tile in written),
        building_share=float(np.mean([tile.building_share for tile in written])),
        buildings=dict(zip(classes.names_with_unknown, counts.tolist(), strict=True)),
    )
