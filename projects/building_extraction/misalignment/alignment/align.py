"""Aligns the building labels of a vector file to an image, block by block."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import shapely
from mmengine.logging import print_log

from projects.geodata.coordinate_systems import meters_per_unit
from projects.geodata.raster_files import open_raster
from projects.geodata.vector_files import column_names, geopandas, read_buildings
from projects.reporting.progress import track
from projects.storage.folders import working_folder

from .block_results import BlockResult, ViewKnowledge, place_block, search_block
from .blocks import FINER, FINEST_M, Block, Source, cut_into_blocks
from .heights import ASSUMED, KNOWN, STATED_DEVIATION_M
from .line_search import Line, best_line
from .settings import AlignmentSettings

OWN_COLUMNS = (
    'label', 'dx_m', 'dy_m', 'lean_m', 'lean_from', 'height_m', 'height_deviation_m', 'height_from', 'height_note',
    'height_class', 'confidence', 'presence', 'edge_strength', 'status', 'structure', 'feature', 'geometry', 'fid',
)  # fmt: skip
"""Of the result; all other columns of the labels are kept beside them."""
MIN_BUILDINGS = 5
ENOUGH = 100  # buildings tell the line of a block; fewer do so with those of the blocks around
MIN_EVIDENCE = 1.0  # mean logarithm per building: below it, edges are where outlines are by chance alone


@dataclass(frozen=True)
class Alignment:
    """Labels, and where their buildings are seen.

    Attributes:
        labels: (N rows) As `read_buildings` returns them, in the image's coordinate system.
        blocks: With labels.
        results: One for each block; None where its labels fit no edges.
        gsd_m: Of the image as it was read.
        notes: What limits these results, in sentences.
    """

    labels: geopandas.GeoDataFrame
    blocks: list[Block]
    results: list[BlockResult | None]
    gsd_m: float
    notes: list[str]

    def scattered(self, of_block: Callable[[BlockResult], np.ndarray], otherwise: float) -> np.ndarray:
        """One value for each label, from one array for each block."""
        values = np.full(len(self.labels), otherwise, dtype=float)
        for block, result in zip(self.blocks, self.results, strict=True):
            if result is not None:
                values[block.rows] = of_block(result)
        return values


def align(settings: AlignmentSettings, kept_beside: Path, processes: int = 1, *, overwrite: bool = False) -> Alignment:
    """Align labels to an image.

    What is finished of it is kept in a hidden folder beside `kept_beside`, until that is written: after an interruption
    it goes on.

    Args:
        settings: The files, and what is known of the view.
        kept_beside: The file that is to be written.
        processes: That work on blocks.
        overwrite: Forget what an interruption with other settings left.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is unfit, no label lies in the image, or fewer than `MIN_BUILDINGS` do.
        FileExistsError: What an interruption left was made with other settings.
    """
    with open_raster(settings.image, bands=settings.bands) as raster:
        finest = FINEST_M if raster.gsd_m() < FINER * FINEST_M else None
    source = Source(settings.image, finest, settings.bands, settings.probabilities, settings.values)
    with open_raster(settings.image, bands=settings.bands, gsd_m=finest) as raster:
        labels = read_buildings(
            settings.labels,
            settings.height_column,
            crs=raster.crs,
            bounds=raster.bounds,
            assume_crs=settings.assume_crs,
            layer=settings.layer,
            with_features=True,
            columns=[name for name in column_names(settings.labels, settings.layer) if name.lower() not in OWN_COLUMNS],
        )
        if len(labels) < MIN_BUILDINGS:
            raise ValueError(
                f'{len(labels)} buildings of {settings.labels} lie in {settings.image}: at least {MIN_BUILDINGS} are '
                'needed to tell what they have in common'
            )
        heights_m = labels['height_m'].to_numpy()
        lean_m = settings.max_lean_m(heights_m)
        reach_m = settings.max_shift_m + lean_m
        blocks = cut_into_blocks(raster, labels.geometry.to_numpy(), heights_m, reach_m)
        gsd_m, notes = raster.gsd_m(), list(raster.notes)
    for note in notes:
        print_log(f'{settings.image}: {note}', logger='current')
    view = ViewKnowledge(
        settings.off_nadir_deg, settings.azimuth_deg, settings.registration_m, settings.max_shift_m, lean_m,
        settings.highest_m(heights_m), settings.sun_deg,
    )  # fmt: skip
    with working_folder(kept_beside, settings.made_with(), overwrite) as folder:
        results = _in_blocks(source, blocks, view, folder, processes)
    results = _with_known_grounds(blocks, results, view)
    return Alignment(labels, blocks, results, gsd_m, _notes(results))


def _in_blocks(
    source: Source, blocks: list[Block], view: ViewKnowledge, folder: Path, processes: int
) -> list[BlockResult | None]:
    searched = [folder / f'lines_{block.number}.npz' for block in blocks]
    placed = [folder / f'places_{block.number}.npz' for block in blocks]
    with _workers(min(processes, len(blocks))) as run:
        left = [(source, block, view, path) for block, path in zip(blocks, searched, strict=True) if not path.exists()]
        for _ in track(run(search_block, left), 'Searching lines', len(left)):
            pass
        names = ('image', 'model')[: 1 + (source.probabilities is not None)]
        lines = [_lines(name, blocks, searched, view) for name in names]
        found = [number for number, line in enumerate(lines[0]) if line.evidence >= MIN_EVIDENCE]
        jobs = [
            (source, blocks[number], view, [of[number] for of in lines], placed[number])
            for number in found
            if not placed[number].exists()
        ]
        for _ in track(run(place_block, jobs), 'Placing buildings', len(jobs)):
            pass
    return [BlockResult.read(placed[number]) if number in set(found) else None for number in range(len(blocks))]


def _lines(name: str, blocks: list[Block], files: list[Path], view: ViewKnowledge) -> list[Line]:
    """The line of each block, by its own buildings, and by those of the blocks around while they are too few."""
    counts = []
    for file in files:
        with np.load(file) as held:
            counts.append(int(held[f'{name}_buildings']))
    places = np.array([block.place for block in blocks])
    lines = []
    for place in places:
        distances = np.abs(places - place).max(axis=1)
        for farthest in np.unique(distances):
            used = np.flatnonzero(distances <= farthest)
            buildings = sum(counts[number] for number in used)
            if buildings >= ENOUGH:
                break
        evidence = 0.0
        for number in used:
            with np.load(files[number]) as held:
                evidence = evidence + held[name].astype(float)
        lines.append(best_line(np.asarray(evidence), buildings, view.grid))
    return lines


@contextmanager
def _workers(processes: int) -> Iterator[Callable[[Callable, Sequence[tuple]], Iterator[None]]]:
    """A map over jobs, in this process or in several."""
    if processes <= 1:
        yield lambda function, jobs: (function(*job) for job in jobs)
        return
    # 'spawn': a forked child would inherit locks of torch's and OpenCV's threads
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(processes, context, cv2.setNumThreads, (1,)) as pool:
        yield lambda function, jobs: pool.map(partial(_spread, function), jobs)


def _spread(function: Callable, job: tuple) -> None:
    function(*job)


def _with_known_grounds(
    blocks: list[Block], results: list[BlockResult | None], view: ViewKnowledge
) -> list[BlockResult | None]:
    """Where leans begin, of blocks without known heights, as in the nearest block that has some."""
    telling = [n for n, result in enumerate(results) if result is not None and result.zero.source == KNOWN]
    if not telling:
        return results
    places = np.array([block.place for block in blocks])
    completed = list(results)
    for number, result in enumerate(results):
        if result is None or result.zero.source != ASSUMED:
            continue
        nearest = telling[int(np.linalg.norm(places[telling] - places[number], axis=1).argmin())]
        told = results[nearest]
        assert told is not None
        ground_m = told.line.shift_m + told.zero.along_m * told.line.direction
        along_m = float((ground_m - result.line.shift_m) @ result.line.direction)
        zero = replace(told.zero, along_m=along_m, deviation_m=told.zero.deviation_m + STATED_DEVIATION_M)
        completed[number] = replace(result, zero=zero)
    return completed


def _notes(results: list[BlockResult | None]) -> list[str]:
    notes = []
    if lost := sum(result is None for result in results):
        notes.append(
            f'in {lost} of {len(results)} blocks the image has no edges where outlines are, for any shift and lean '
            'that was searched: labels stay, without evidence (another place, water, cloud, or --max-shift-m)'
        )
    found = [result for result in results if result is not None]
    if undirected := sum(result.has_lean and not result.line.is_directed for result in found):
        notes.append(
            f'in {undirected} of {len(found)} blocks the image does not tell the direction of the lean from its '
            'opposite: positions hold, leans and footprints may be wrong (--azimuth-deg, --height-column)'
        )
    if assumed := sum(result.zero.source == ASSUMED for result in found):
        notes.append(
            f'in {assumed} of {len(found)} blocks nothing says where leans begin: a shift of all labels along the lean '
            f'looks like a lean of all buildings. Footprints and leans rest on an assumption there ({ASSUMED}); '
            'heights are left empty (--registration-m, or --height-column with some heights)'
        )
    if turned := sum(result.uses_model for result in found):
        notes.append(f'the model is used in {turned} of {len(found)} blocks: there held-out edges fit better with it')
    return notes


def moves_in_map_units(alignment: Alignment, moves_m: np.ndarray) -> np.ndarray:
    """(N, 2) Metres east and north as units of the labels' coordinate system."""
    middles = shapely.get_coordinates(shapely.centroid(alignment.labels.geometry.to_numpy()))
    return moves_m / meters_per_unit(alignment.labels.crs, middles)
