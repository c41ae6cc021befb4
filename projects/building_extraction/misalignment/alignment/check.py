"""Measures on rendered scenes, where everything is known, how well labels are aligned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import shapely

from projects.city_scenes.city import City
from projects.city_scenes.footprints import read_city
from projects.city_scenes.frame import Frame
from projects.city_scenes.procedural_city import procedural_city
from projects.city_scenes.render import render_tile
from projects.city_scenes.sunlight import Sun
from projects.city_scenes.surfaces import see
from projects.city_scenes.view import View
from projects.geodata.polygonal import translate
from projects.geodata.raster_files import write_geotiff
from projects.geodata.vector_files import geopandas, write_polygons
from projects.reporting.notices import only_warnings
from projects.reporting.number_format import NOTHING, fixed
from projects.reporting.progress import track
from projects.reporting.tables import Table
from projects.training.experiments.intervals import Interval, draw_anew, interval_about

from ...height_classes import HeightClasses
from .align import align
from .aligned_labels import BY_LEAN, BY_SHADOW, aligned_labels
from .placement import NEAR_M
from .settings import AlignmentSettings

TILE_PX = 1024
JITTER_M = 0.7  # standard deviation, east and north each
SHIFTS_M = (3.0, 6.0)  # between which the length of a shift is drawn
KNOWN_HEIGHTS = 10
MIN_SINGLE = 20  # buildings of one tier in a scene
TRIED = 200
DRAWS = 4000
SEEN = 0.5
INVENTED_CRS = 'EPSG:32633'
LOW, TOWERS = 'low-rise', 'towers'


@dataclass(frozen=True)
class Scene:
    """One scene to check: pixel, angle, area (`LOW` or `TOWERS`), and standard deviation of each label's own shift."""

    gsd_m: float
    off_nadir_deg: float
    area: str
    jitter_m: float
    seed: int


VIEWS = tuple(
    (gsd_m, angle_deg, area)
    for area in (LOW, TOWERS)
    for gsd_m, angle_deg in ((0.6, 15.0), (0.6, 20.0), (0.6, 30.0), (0.3, 25.0))
)


def scenes_to_check(repeats: int = 1) -> tuple[Scene, ...]:
    """Each view without and with jitter, of as many places."""
    return tuple(
        Scene(*view, jitter_m, seed) for jitter_m in (0.0, JITTER_M) for seed, view in enumerate(VIEWS * repeats)
    )


@dataclass(frozen=True)
class SceneScore:
    """How well labels of one scene were aligned; shares of buildings of one tier.

    Attributes:
        buildings: Of one tier.
        before_m: Median distance from the label to the roof.
        median_m: The same afterwards.
        near: Share within `NEAR_M` afterwards.
        sure: Number of the surer half of them.
        near_of_sure: Share within `NEAR_M` of those.
        seen: Share of these buildings whose roof is seen in the image to `SEEN` of it at least.
        near_of_seen: Share within `NEAR_M` of those.
        azimuth_error_deg: Of the direction of the lean, 0 to 180.
        height_error_m: Median, of low- and mid-rise buildings, with the angle and `KNOWN_HEIGHTS` heights known.
        right_class: Share of the same whose height is in the right class.
        told: Share of the same that have a height.
        shadow_error_m, shadow_right_class, shadow_told: The same three by shadows, with the angle and the sun known.
        guess_error_m, guess_right_class: Of the median height of these buildings, given to all of them: the control.
    """

    buildings: int
    before_m: float
    median_m: float
    near: float
    sure: int
    near_of_sure: float
    seen: float
    near_of_seen: float
    azimuth_error_deg: float
    height_error_m: float
    right_class: float
    told: float
    shadow_error_m: float
    shadow_right_class: float
    shadow_told: float
    guess_error_m: float
    guess_right_class: float


def check_scene(city: City, scene: Scene, size_px: int = TILE_PX) -> SceneScore:
    """Render a scene, shift its labels, align them, and compare with the truth.

    Args:
        city: Whose prisms are labels, each for itself.
        scene: What to render.
        size_px: Side of the image.
    """
    random = np.random.default_rng([scene.seed, 11])
    west, north = _place(city, scene, size_px * scene.gsd_m, random)
    view = View(scene.gsd_m, scene.off_nadir_deg, float(random.uniform(0, 360)))
    sun = Sun(float(random.uniform(35, 65)), float(random.uniform(-60, 60) % 360))
    image = render_tile(city, (west, north), (size_px, size_px), view, sun, scene.seed).image
    tile = shapely.box(west, north - size_px * scene.gsd_m, west + size_px * scene.gsd_m, north)
    own = shapely.area(shapely.intersection(city.buildings.polygons, tile)) > shapely.area(city.buildings.polygons) / 2
    heights_m = city.drawn_heights_m[own]
    single = city.tiers[city.buildings.structures[own]] == 1
    angle, length_m = random.uniform(0, 2 * np.pi), random.uniform(*SHIFTS_M)
    shifts_m = length_m * np.array([np.cos(angle), np.sin(angle)]) + scene.jitter_m * random.standard_normal(
        (own.sum(), 2)
    )
    some_m = np.where(np.isin(np.arange(own.sum()), random.permutation(own.sum())[:KNOWN_HEIGHTS]), heights_m, np.nan)
    true_m = view.offset_m(heights_m) - shifts_m
    crs = city.buildings.crs or INVENTED_CRS
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_geotiff(folder / 'image.tif', image, (scene.gsd_m, 0, west, 0, -scene.gsd_m, north), crs)
        labels = translate(city.buildings.polygons[own], shifts_m)
        write_polygons(geopandas.GeoDataFrame({'height_m': some_m}, geometry=labels, crs=crs), folder / 'labels.gpkg')
        blind = AlignmentSettings(folder / 'image.tif', folder / 'labels.gpkg')
        told = AlignmentSettings(
            folder / 'image.tif', folder / 'labels.gpkg', 'height_m', off_nadir_deg=scene.off_nadir_deg
        )
        sunny = AlignmentSettings(
            folder / 'image.tif',
            folder / 'labels.gpkg',
            off_nadir_deg=scene.off_nadir_deg,
            azimuth_deg=view.azimuth_deg,
            sun_deg=(sun.elevation_deg, sun.azimuth_deg),
        )
        results = [align(settings, folder / 'out.gpkg') for settings in (blind, told, sunny)]
        roofs, *with_heights = (aligned_labels(result, HeightClasses())[0] for result in results)
    rows = roofs['label'].to_numpy() - 1
    error_m = np.linalg.norm(roofs[['dx_m', 'dy_m']].to_numpy() - true_m[rows], axis=1)[single[rows]]
    confidence = roofs['confidence'].to_numpy()[single[rows]]
    sure = confidence >= np.median(confidence)
    frame = Frame(west, north, scene.gsd_m, (size_px, size_px))
    roof_pixels = see(city, frame, view.offset_m(1.0)).roof_pixels(city)[own]
    seen = roof_pixels * scene.gsd_m**2 >= SEEN * shapely.area(city.buildings.polygons[own])
    seen_of_single = seen[rows][single[rows]]
    found = results[0].results[0]
    turn_deg = 180.0 if found is None else abs((found.line.azimuth_deg - view.azimuth_deg + 180) % 360 - 180)
    low = single & (heights_m < HeightClasses().limits_m[1])
    scored = [
        _score_heights(frame, source, asked, heights_m)
        for frame, source, asked in zip(with_heights, (BY_LEAN, BY_SHADOW), (low & np.isnan(some_m), low), strict=True)
    ]
    return SceneScore(
        int(single.sum()),
        float(np.median(np.linalg.norm(true_m[single], axis=1))),
        float(np.median(error_m)),
        float(np.mean(error_m <= NEAR_M)),
        int(sure.sum()),
        float(np.mean(error_m[sure] <= NEAR_M)),
        float(seen_of_single.mean()),
        float(np.mean(error_m[seen_of_single] <= NEAR_M)),
        float(turn_deg),
        *scored[0],
        *scored[1],
        *_score_guess(heights_m[low]),
    )


def _score_heights(
    roofs: geopandas.GeoDataFrame, source: str, asked: np.ndarray, heights_m: np.ndarray
) -> tuple[float, float, float]:
    """Median error in metres, share in the right class, both of those that are told, and the share of these."""
    rows = roofs['label'].to_numpy() - 1  # labels that were shifted out of the image are none of these
    told = asked[rows] & (roofs['height_from'] == source).to_numpy()
    share = float(told.sum() / max(asked.sum(), 1))
    if not told.any():
        return np.nan, np.nan, share
    seen_m, classes = roofs['height_m'].to_numpy()[told], HeightClasses()
    true_m = heights_m[rows][told]
    right = classes.index(seen_m) == classes.index(true_m)
    return float(np.median(np.abs(seen_m - true_m))), float(right.mean()), share


def _score_guess(heights_m: np.ndarray) -> tuple[float, float]:
    """Median error in metres, and share in the right class, of the median height, given to all buildings."""
    if not len(heights_m):
        return np.nan, np.nan
    guess_m, classes = float(np.median(heights_m)), HeightClasses()
    right = classes.index(heights_m) == classes.index(np.array([guess_m]))
    return float(np.median(np.abs(heights_m - guess_m))), float(right.mean())


def _place(city: City, scene: Scene, side_m: float, random: np.random.Generator) -> tuple[float, float]:
    """West and north of a tile with `MIN_SINGLE` buildings of one tier, among the lowest or the highest third."""
    points = shapely.get_coordinates(shapely.centroid(city.structure_outlines))
    low, high = points.min(axis=0) - side_m / 4, points.max(axis=0) - side_m * 3 / 4
    corners, medians = [], []
    for west, south in random.uniform(low, np.maximum(high, low + 1), (TRIED, 2)):
        inside = ((points >= (west, south)) & (points < (west + side_m, south + side_m))).all(axis=1)
        if (inside & (city.tiers == 1)).sum() >= MIN_SINGLE:
            corners.append((float(round(west)), float(round(south + side_m))))
            medians.append(float(np.nanmedian(city.structure_heights_m[inside & (city.tiers == 1)])))
    if not corners:
        raise ValueError(f'no tile of {side_m:g} m has {MIN_SINGLE} buildings of one tier: the city is too small')
    order = np.argsort(medians)
    third = max(len(order) // 3, 1)
    return corners[int(random.choice(order[:third] if scene.area == LOW else order[-third:]))]


def check(city: City, scenes: tuple[Scene, ...]) -> Iterator[tuple[Scene, SceneScore]]:
    """Check one scene after the other."""
    for scene in scenes:
        with only_warnings():
            score = check_scene(city, scene)
        yield scene, score


def check_all(footprints: str, height_column: str | None, repeats: int = 1) -> list[tuple[Scene, SceneScore]]:
    """Check scenes of the city of a file of footprints; of an invented one, if its name is empty."""
    city = read_city(footprints, height_column) if footprints else procedural_city()
    scenes = scenes_to_check(repeats)
    return list(track(check(city, scenes), 'Checking scenes', len(scenes)))


def share_of_all(numbers: Sequence[int], shares: Sequence[float]) -> Interval:
    """Share of the buildings of several scenes that is near, and where that of all such scenes may lie.

    Scenes are drawn anew, and of each its buildings: those of one scene are right or wrong together.

    Args:
        numbers: Of the buildings of each scene.
        shares: Of these that are near.
    """
    near = [np.arange(number) < round(share * number) for number, share in zip(numbers, shares, strict=True)]
    counts = np.empty((DRAWS, len(near), 2))
    for own, (places, often) in zip(near, draw_anew([*map(len, near)], DRAWS), strict=True):
        counts[places] = np.stack([often @ own, often.sum(axis=1)], axis=1)
    right, buildings = counts.sum(axis=1).T
    return interval_about(float(np.concatenate(near).mean()), right / buildings, len(near))


def check_table(scores: list[tuple[Scene, SceneScore]]) -> Table:
    """One row for each scene, and one for all buildings of an area and jitter, with its interval."""
    columns = [
        'area', 'm/px', 'angle', 'jitter m', 'buildings', 'before m', 'median m', 'within 1.5 m', 'surer half',
        'roof seen', 'of these', 'direction off', 'height error m', 'class right', 'told', 'by shadow m', 'class right',
        'told', 'guess m', 'class right',
    ]  # fmt: skip
    rows = []
    for scene, score in scores:
        shares = [f'{value:.0%}' for value in (score.near, score.near_of_sure, score.seen, score.near_of_seen)]
        rows.append([
            scene.area, f'{scene.gsd_m:g}', f'{scene.off_nadir_deg:g}°', f'{scene.jitter_m:g}', str(score.buildings),
            fixed(score.before_m, 2), fixed(score.median_m, 2), *shares, f'{score.azimuth_error_deg:.1f}°',
            *_height_cells(score.height_error_m, score.right_class, score.told),
            *_height_cells(score.shadow_error_m, score.shadow_right_class, score.shadow_told),
            *_height_cells(score.guess_error_m, score.guess_right_class)[:2],
        ])  # fmt: skip
    for area, jitter_m in dict.fromkeys((scene.area, scene.jitter_m) for scene, _ in scores):
        own = [score for scene, score in scores if (scene.area, scene.jitter_m) == (area, jitter_m)]
        numbers, sure = [score.buildings for score in own], [score.sure for score in own]
        shares = [
            _share(share_of_all(numbers, [score.near for score in own])),
            _share(share_of_all(sure, [score.near_of_sure for score in own])),
        ]
        rows.append([f'all {area}', '', '', f'{jitter_m:g}', str(sum(numbers)), '', '', *shares,
                     *[''] * (len(columns) - 9)])  # fmt: skip
    return Table('', columns, rows, numeric=columns[1:])


def _share(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f'{interval.mean:.0%}'
    return f'{interval.mean:.0%} ({max(interval.low, 0):.0%}–{min(interval.high, 1):.0%})'


def _height_cells(error_m: float, right: float, told: float = 1.0) -> list[str]:
    is_told = np.isfinite(error_m)
    return [fixed(error_m, 2) if is_told else NOTHING, f'{right:.0%}' if is_told else NOTHING, f'{told:.0%}']
