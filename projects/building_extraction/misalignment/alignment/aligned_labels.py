"""The labels as they are written: roofs, footprints, and what is known of each."""

import numpy as np

from projects.geodata.polygonal import translate
from projects.geodata.vector_files import geopandas

from ...height_classes import UNKNOWN, HeightClasses
from .align import OWN_COLUMNS, Alignment, moves_in_map_units
from .block_results import BlockResult
from .heights import ASSUMED, lean_heights, sure_classes
from .placement import SURE

MOVED, KEPT, NO_EVIDENCE = STATUSES = ('moved', 'kept', 'no evidence')
MIN_PRESENCE = 0.5
MIN_STRENGTH = 0.65  # of edges along an outline, by the median of those that are sure: fainter ones are no evidence
KEPT_PX = 0.5  # a label that lies so near to its roof stays
STATED, BY_LEAN, BY_SHADOW, BY_BOTH = 'stated', 'lean', 'shadow', 'lean and shadow'
CONTRADICTION = 'lean and shadow contradict each other'
CONTRADICTING = 3.0  # deviations between heights by lean and by shadow, of which neither is given


def aligned_labels(
    alignment: Alignment, classes: HeightClasses
) -> tuple[geopandas.GeoDataFrame, geopandas.GeoDataFrame]:
    """Roofs where the image shows them, and footprints where the leans say that they stand.

    Args:
        alignment: Of `align`.
        classes: Of heights.

    Returns:
        Two frames, with a row for each label: `label` (the feature's number in their file), `dx_m`, `dy_m` (metres
        east and north from the label to the roof), `lean_m` and `lean_from`, `height_m`, `height_deviation_m`,
        `height_from` and `height_note` (why there is none), `height_class`, `confidence` (probability that the roof is
        within 1.5 m), `presence` (that the building is there), `edge_strength` (mean of the edges along the outline, 0
        to 1.5) and `status`; then the labels' own columns. What `NO_EVIDENCE` is said of lies where the other buildings
        of the view let it be expected.
    """
    labels, scattered = alignment.labels, alignment.scattered
    count = len(labels)
    moves_m = np.zeros((count, 2))
    for block, result in zip(alignment.blocks, alignment.results, strict=True):
        if result is not None:
            moves_m[block.rows] = result.placement.moves_m(result.line)
    presence = scattered(lambda one: one.placement.presence, 0.0)
    faint = scattered(_faintness, 1.0) > 0
    status = np.where((presence < MIN_PRESENCE) | faint, NO_EVIDENCE, MOVED).astype(object)
    status[(status == MOVED) & (np.hypot(*moves_m.T) < KEPT_PX * alignment.gsd_m)] = KEPT
    moves_m[status == KEPT] = 0
    found = np.isfinite(scattered(lambda one: one.placement.along_m, np.nan))
    leans_m = scattered(lambda one: one.placement.along_m - one.zero.along_m, np.nan)
    lean_from, notes = np.full((2, count), '', dtype=object)
    heads = np.zeros((count, 2))
    for block, result in zip(alignment.blocks, alignment.results, strict=True):
        if result is not None:
            lean_from[block.rows], notes[block.rows] = result.zero.source, result.zero.obstacle
            heads[block.rows] = result.line.direction
            if result.zero.source == ASSUMED and not result.zero.obstacle:
                notes[block.rows] = 'where leans begin is not known'
    stated_m = labels['height_m'].to_numpy()
    seen_m, deviations_m, height_from = _seen_heights(
        scattered(lambda one: lean_heights(one.placement, one.zero)[0], np.nan),
        scattered(lambda one: lean_heights(one.placement, one.zero)[1], np.nan),
        scattered(lambda one: one.shadows.heights_m, np.nan),
        scattered(lambda one: one.shadows.deviations_m, np.nan),
    )
    seen_m[status == NO_EVIDENCE] = np.nan
    is_stated = np.isfinite(stated_m)
    heights_m = np.where(is_stated, stated_m, seen_m)
    known = np.isfinite(heights_m)
    deviations_m = np.where(is_stated | ~known, np.nan, deviations_m)
    sure = sure_classes(heights_m, np.nan_to_num(deviations_m), classes)
    notes[~found] = 'no line of roofs was found'
    notes[found & (notes == '')] = 'the roof is not placed surely'
    notes[found & (height_from == CONTRADICTION)] = CONTRADICTION
    notes[known] = ''
    names = np.array(classes.names_with_unknown, dtype=object)
    columns = {
        'label': labels['feature'].to_numpy(),
        'dx_m': moves_m[:, 0],
        'dy_m': moves_m[:, 1],
        'lean_m': leans_m,
        'lean_from': lean_from,
        'height_m': heights_m,
        'height_deviation_m': deviations_m,
        'height_from': np.where(is_stated, STATED, np.where(known, height_from, '')).astype(object),
        'height_note': notes,
        'height_class': np.where(known, names[sure], UNKNOWN),
        'confidence': scattered(lambda one: one.placement.confidence, 0.0),
        'presence': presence,
        'edge_strength': scattered(lambda one: one.placement.strength, 0.0),
        'status': status,
    }
    others = [name for name in labels.columns if name.lower() not in OWN_COLUMNS]
    columns |= {name: labels[name].to_numpy() for name in others}
    polygons = labels.geometry.to_numpy()
    roofs = translate(polygons, moves_in_map_units(alignment, moves_m))
    back_m = np.where(found[:, None], moves_m - np.nan_to_num(leans_m)[:, None] * heads, moves_m)
    footprints = translate(polygons, moves_in_map_units(alignment, back_m))
    frames = [geopandas.GeoDataFrame(columns, geometry=shapes, crs=labels.crs) for shapes in (roofs, footprints)]
    return frames[0], frames[1]


def _seen_heights(
    lean_m: np.ndarray, lean_by_m: np.ndarray, shadow_m: np.ndarray, shadow_by_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights (N,) by leans and shadows, weighted by their variances; their deviations; and what they follow from."""
    by_lean, by_shadow = np.isfinite(lean_m), np.isfinite(shadow_m)
    both = by_lean & by_shadow
    weights = np.stack([np.where(by_lean, lean_by_m**-2.0, 0), np.where(by_shadow, shadow_by_m**-2.0, 0)])
    total = np.where(by_lean | by_shadow, weights.sum(axis=0), np.nan)
    heights_m = (weights[0] * np.nan_to_num(lean_m) + weights[1] * np.nan_to_num(shadow_m)) / total
    apart = both & (np.abs(lean_m - shadow_m) > CONTRADICTING * np.hypot(lean_by_m, shadow_by_m))
    heights_m[apart] = np.nan
    sources = np.select([apart, both, by_lean, by_shadow], [CONTRADICTION, BY_BOTH, BY_LEAN, BY_SHADOW], '')
    return heights_m, total**-0.5, sources.astype(object)


def _faintness(result: BlockResult) -> np.ndarray:
    """(N,) 1 where edges along an outline are faint beside those of the buildings that are sure, 0 elsewhere."""
    placement = result.placement
    sure = placement.strength[placement.confidence >= SURE]
    return (
        (placement.strength < MIN_STRENGTH * np.median(sure)).astype(float)
        if len(sure)
        else np.ones(len(placement.strength))
    )
