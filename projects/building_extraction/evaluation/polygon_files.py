"""Polygons of a file scored against those of another."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from mmengine.logging import print_log
from pyproj import CRS

from projects.geodata.coordinate_systems import ground_system
from projects.geodata.polygons.pixel_regions import gather_parts
from projects.geodata.vector_files import column_names, geopandas, read_buildings
from projects.geodata.vector_layers import Bounds, open_layer

from ..height_classes import HeightClasses
from .object_matching import MIN_IOU
from .polygon_comparison import PolygonComparison, compare_polygons
from .polygon_matching import counted_in_area, match_by_score, overlapping_pairs

SCORE_COLUMN = 'score'  # as this project's polygons have it


@dataclass(frozen=True)
class ScoredFiles:
    """What `score_files` finds.

    Attributes:
        comparison: In local metres.
        invalid: Features that were found whose outlines cross themselves, before they were mended.
        features: How many were read.
        beyond: Polygons found outside of the extent of the true ones.
        scores: Where the scores come from, in words.
        classes: Where the height classes come from, in words.
        area: To which it was restricted, in words; None: to none.
        left_out: Polygons found, and true ones, that did not count for it.
    """

    comparison: PolygonComparison
    invalid: int
    features: int
    beyond: int
    scores: str
    classes: str
    area: str | None = None
    left_out: tuple[int, int] = (0, 0)


def score_files(
    found_path: Path,
    true_path: Path,
    classes: HeightClasses,
    *,
    band_m: float,
    height_column: str | None = None,
    score_column: str | None = None,
    assume_crs: str | None = None,
    layer: str | None = None,
    true_layer: str | None = None,
    area: Path | Bounds | None = None,
) -> ScoredFiles:
    """Score a vector file against another, on the ground, whatever their coordinate systems.

    A feature is one building, in however many parts. Outlines that cross themselves are mended and counted. Of an area,
    true polygons count that lie in it to half at least, and what was found as `counted_in_area` says.

    Args:
        found_path: Polygons that were found.
        true_path: The true ones.
        classes: The height classes.
        band_m: See `compare_polygons`.
        height_column: Column of the true polygons with heights above ground; None: all are unknown.
        score_column: Column of what was found that says how sure each is; None: `score` if there is one.
        assume_crs: Coordinate system of files that state none, or none that can be.
        layer: Of what was found; None: the only one of polygons.
        true_layer: Of the true ones.
        area: Where the true ones are complete: a file of polygons, or west, south, east and north in the true ones'
            coordinate system; None: everywhere.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is unfit, there is no true polygon, none in the area, or the two do not overlap.
    """
    columns = column_names(found_path, layer)
    if score_column is None and SCORE_COLUMN in columns:
        score_column = SCORE_COLUMN
    source, target = open_layer(found_path, layer), open_layer(true_path, true_layer, '--true-layer')
    truth = read_buildings(
        true_path, height_column, assume_crs=assume_crs if target.lacks_crs else None, layer=true_layer
    )
    if not len(truth):
        raise ValueError(f'{true_path} holds no polygons: there is nothing to score against')
    found = read_buildings(
        found_path,
        crs=truth.crs,
        assume_crs=assume_crs if source.lacks_crs else None,
        layer=layer,
        columns=[] if score_column is None else [score_column],
    )
    west, south, east, north = truth.total_bounds
    beyond = ~shapely.intersects(found.geometry.to_numpy(), shapely.box(west, south, east, north))
    if len(found) and beyond.all():
        raise ValueError(
            f'{found_path} ({_extent(found)}) lies outside of {true_path} ({_extent(truth)}), in {truth.crs.name}: do '
            'both state the right coordinate system? (--assume-crs)'
        )
    ground, unit_m = ground_system(truth.crs, ((west + east) / 2, (south + north) / 2))
    polygons, labeled = (_on_ground(frame, ground, unit_m) for frame in (found, truth))
    scores, origin = None, 'none: all alike'
    if score_column is not None:
        scores, origin = _scores(found, score_column, found_path), f'column {score_column!r}'
    heights_m = truth.drop_duplicates('structure').sort_values('structure')['height_m'].to_numpy()
    left_out = 0, 0
    if area is not None:
        scores = np.ones(len(polygons)) if scores is None else scores
        shape = _shape_of(area, truth.crs, assume_crs)
        true_counts = _mostly_within(truth, shape)
        if not true_counts.any():
            raise ValueError(f'no polygon of {true_path} lies in {_named(area)}: there is nothing to score against')
        label_of = match_by_score(overlapping_pairs(polygons, labeled, MIN_IOU), scores)
        counts = counted_in_area(label_of, _mostly_within(found, shape), true_counts)
        beyond &= counts[found['structure'].to_numpy()]
        left_out = int((~counts).sum()), int((~true_counts).sum())
        polygons, scores = polygons[counts], scores[counts]
        labeled, heights_m = labeled[true_counts], heights_m[true_counts]
    comparison = compare_polygons(polygons, labeled, heights_m, classes, band_m, scores)
    outlines = source.read([], None)[0]
    stated = outlines[~shapely.is_missing(outlines)]
    heights = 'none: all unknown' if height_column is None else f'column {height_column!r} of {true_path}'
    return ScoredFiles(
        comparison,
        int((~shapely.is_valid(stated)).sum()),
        len(stated),
        int(beyond.sum()),
        origin,
        heights,
        None if area is None else _named(area),
        left_out,
    )


def _named(area: Path | Bounds) -> str:
    return str(area) if isinstance(area, Path) else ', '.join(f'{value:.10g}' for value in area)


def _shape_of(area: Path | Bounds, crs: CRS, assume_crs: str | None) -> shapely.Geometry:
    """An area in a coordinate system."""
    if not isinstance(area, Path):
        return shapely.box(*area)
    lacks_crs = open_layer(area, option='--area').lacks_crs
    shape = shapely.union_all(read_buildings(area, crs=crs, assume_crs=assume_crs if lacks_crs else None).geometry)
    shapely.prepare(shape)
    return shape


def _mostly_within(frame: geopandas.GeoDataFrame, shape: shapely.Geometry) -> np.ndarray:
    """(S,) Which structures lie in a shape to half at least, all in one coordinate system."""
    parts, owner = frame.geometry.to_numpy(), frame['structure'].to_numpy()
    whole = shapely.area(parts)
    within = np.where(shapely.covers(shape, parts), whole, 0)
    crossing = (within == 0) & shapely.intersects(shape, parts)
    within[crossing] = shapely.area(shapely.intersection(parts[crossing], shape))
    return np.bincount(owner, within) >= np.bincount(owner, whole) / 2


def _on_ground(frame: geopandas.GeoDataFrame, ground: object, unit_m: float) -> np.ndarray:
    """One polygon for each structure, in metres."""
    order = np.argsort(frame['structure'].to_numpy(), kind='stable')
    owner = frame['structure'].to_numpy()[order]
    parts = frame.geometry.to_crs(ground).to_numpy()[order]
    gathered = gather_parts(parts, owner, int(owner.max(initial=-1)) + 1) if len(parts) else parts
    return shapely.transform(gathered, lambda points: points * unit_m)


def _scores(frame: geopandas.GeoDataFrame, column: str, path: Path) -> np.ndarray:
    """(N,) of each structure; those that are not known are the lowest."""
    first = frame.drop_duplicates('structure').sort_values('structure')
    try:
        scores = first[column].to_numpy().astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: the column {column!r} holds something else than scores: {error}') from error
    unknown = np.isnan(scores)
    if unknown.any():
        print_log(f'{path}: {unknown.sum()} of {len(scores)} scores are unknown and count as the lowest', 'current')
        scores[unknown] = np.nanmin(scores, initial=0) - 1
    return scores


def _extent(frame: geopandas.GeoDataFrame) -> str:
    return ', '.join(f'{value:.6g}' for value in frame.total_bounds)
