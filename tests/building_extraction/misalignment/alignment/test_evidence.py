"""Outlines, edges and what their fit says: by hand where it can be, and on real drone tiles."""

import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image
from scipy import stats

from projects.building_extraction.height_classes import HeightClasses
from projects.building_extraction.misalignment.alignment.align import align
from projects.building_extraction.misalignment.alignment.aligned_labels import aligned_labels
from projects.building_extraction.misalignment.alignment.edges import DIRECTIONS, EdgeMaps, direction_of
from projects.building_extraction.misalignment.alignment.heights import lean_heights, sure_classes
from projects.building_extraction.misalignment.alignment.line_search import Line, LineGrid, best_line, line_evidence
from projects.building_extraction.misalignment.alignment.outlines import Outlines
from projects.building_extraction.misalignment.alignment.placement import Fits, Placement, place
from projects.building_extraction.misalignment.alignment.scores import MovedOutline, careful_log_ratio, log_ratio
from projects.building_extraction.misalignment.alignment.settings import AlignmentSettings
from projects.geodata.polygonal import translate
from projects.geodata.raster_files import rasterize, write_geotiff
from projects.geodata.vector_files import geopandas, write_polygons

KAMPALA = Path(__file__).parents[4] / '../shared/data/kampala'
GSD_M, SIZE_PX = 0.6, 320


def test_points_lie_along_all_rings_with_the_wall_s_normal_out_of_the_building():
    hole = [(4, 4), (4, 8), (8, 8), (8, 4)]
    outlines = Outlines.of(
        np.array([shapely.box(0, 0, 12, 12).difference(shapely.Polygon(hole)), shapely.box(20, 0, 26, 3)])
    )
    assert np.diff(outlines.first).tolist() == [round(48 / 1.5) + round(16 / 1.5), round(18 / 1.5)]
    points, normals = outlines.of_number(1)
    np.testing.assert_allclose(normals[points[:, 0] == 26], (1, 0) * np.ones((2, 1)), atol=1e-12)
    np.testing.assert_allclose(normals[points[:, 1] == 0], np.tile((0, -1), (4, 1)), atol=1e-12)
    points, normals = outlines.of_number(0)
    in_hole = points[:, 0] == 8
    assert in_hole.any()
    np.testing.assert_allclose(normals[in_hole], np.tile((-1, 0), (in_hole.sum(), 1)), atol=1e-12)  # into the hole


def test_an_edge_is_strongest_across_itself():
    image = np.zeros((60, 60), np.uint8)
    image[:, 30:] = 200
    maps = EdgeMaps(image).maps
    assert maps[:, 30, 30].argmax() == 0 == direction_of(np.array([[-1.0, 0]]))[0]
    assert maps[DIRECTIONS // 2, 30, 30] < 0.01
    assert not np.isnan(EdgeMaps(np.full((60, 60, 3), 90, np.uint8)).maps).any()
    valid = np.ones((60, 60), bool)
    valid[:, :28] = False
    assert not EdgeMaps(image, valid=valid).maps[0, 30, :24].any()


def test_scores_are_highest_where_the_outline_is():
    image = np.zeros((80, 80), np.uint8)
    image[20:50, 30:60] = 200
    outlines = Outlines.of(np.array([shapely.box(25, 18, 55, 48)]))
    moves_px = np.stack(np.meshgrid(np.arange(-8, 9), np.arange(-8, 9), indexing='ij'), axis=-1).reshape(-1, 2)
    scores, inside = MovedOutline.of(EdgeMaps(image), outlines, 0, moves_px).mean_strength()
    assert np.abs(moves_px[scores.argmax()] - (5, 2)).max() <= 1
    assert (inside == 1).all()
    assert MovedOutline.of(EdgeMaps(image), outlines, 0, np.array([[60, 0]])).mean_strength()[1][0] == 0


def test_evidence_grows_with_the_score_and_is_against_a_place_without_edges():
    values = log_ratio(np.array([-1.0, 0, 2, 4, 6], np.float32), 100)
    assert (np.diff(values) > 0).all()
    assert values[1] < -3
    assert values[3] > 4


def test_high_scores_say_less_where_the_best_of_many_places_is_taken():
    z, expected = np.array([-1.0, 0, 2, 4, 5, 6, 7], np.float32), 1.15 * math.log(100) - 1.4
    careful = careful_log_ratio(z, 100)
    assert (np.diff(careful) >= 0).all()
    elsewhere = stats.t(8, scale=math.sqrt(6 / 8)).logpdf(z)
    there = stats.norm(expected, 1.3).logpdf(z)
    np.testing.assert_allclose(careful[z < expected + 1.3], (there - elsewhere)[z < expected + 1.3], atol=1e-5)
    assert careful[-1] == careful[-2] < 7 < log_ratio(z, 100)[-2]


def town(seed=0, count=60):
    """A picture of flat roofs of many heights that lean 0.5 m per metre to the east, and footprints."""
    random = np.random.default_rng(seed)
    heights_m = random.choice([4.0, 7, 10, 16, 28], count, p=[0.35, 0.3, 0.2, 0.1, 0.05])
    middles = (np.indices((8, 8)).reshape(2, -1).T[:count] + 0.5) * SIZE_PX / 8 + random.uniform(-4, 4, (count, 2))
    half = random.uniform(5, 11, (count, 2))
    footprints = shapely.box(*(middles - half).T, *(middles + half).T)
    image = random.normal(90, 3, (SIZE_PX, SIZE_PX))
    for number in np.argsort(heights_m):
        steps = np.arange(0, heights_m[number] * 0.5 / GSD_M, 0.5)
        walls = [shapely.affinity.translate(footprints[number], step, 0) for step in steps]
        image[
            rasterize(
                np.array([shapely.union_all(walls)]), np.ones(1), (SIZE_PX, SIZE_PX), (1, 0, 0, 0, 1, 0), np.uint8
            )
            > 0
        ] = 50
        roof = shapely.affinity.translate(footprints[number], heights_m[number] * 0.5 / GSD_M, 0)
        image[rasterize(np.array([roof]), np.ones(1), (SIZE_PX, SIZE_PX), (1, 0, 0, 0, 1, 0), np.uint8) > 0] = (
            random.uniform(120, 220)
        )
    return image.clip(0, 255).astype(np.uint8), footprints, heights_m


def test_the_line_of_a_view_and_places_on_it():
    image, footprints, heights_m = town()
    labels = translate(footprints, np.tile((4.0, -3.0), (len(footprints), 1)))  # 2.4 m east, 1.8 m north
    edges, outlines, grid = EdgeMaps(image), Outlines.of(labels), LineGrid(6.0, 20.0)
    line = best_line(*line_evidence(edges, outlines, GSD_M, grid), grid)
    assert line.azimuth_deg == pytest.approx(90, abs=10)
    line, placement, _ = place(edges, outlines, line, GSD_M, 20.0)
    assert line.azimuth_deg == pytest.approx(90, abs=3)
    true_m = np.stack([heights_m * 0.5 - 2.4, np.full(len(heights_m), -1.8)], axis=1)
    error_m = np.linalg.norm(placement.moves_m(line) - true_m, axis=1)
    assert np.mean(error_m <= 1.5) >= 0.9
    assert np.median(error_m) <= 0.4


def test_a_height_is_a_lean_by_the_tangent_and_a_class_needs_two_deviations():
    from projects.building_extraction.misalignment.alignment.heights import KNOWN, Zero

    along_m = np.array([6.0, 12.2, 1.0, -9.0])
    placement = Placement(
        along_m, np.zeros(4), np.full(4, 0.3), np.array([0.9, 0.9, 0.2, 0.9]), np.ones(4), np.ones(4, bool), 0.5,
        np.ones(4), np.ones(1),
    )  # fmt: skip
    heights_m, deviations_m = lean_heights(placement, Zero(1.0, 0.4, KNOWN, 0.5))
    np.testing.assert_allclose(heights_m[:2], (10, 22.4))
    np.testing.assert_allclose(deviations_m[:2], 1.0)  # hypot(0.3, 0.4) / 0.5
    assert np.isnan(heights_m[2:]).all()  # not sure; and below the ground
    assert sure_classes(np.array([9.9, 10.1, 22.4]), np.ones(3), HeightClasses()).tolist() == [0, 4, 1]
    assert np.isnan(lean_heights(placement, Zero(1.0, 0.4, KNOWN, 0.1, False, 'too flat'))[0]).all()


def test_lines_know_their_axes():
    line = Line(np.zeros(2), 90.0, 3.0, 1.0, 10)
    np.testing.assert_allclose(line.direction, (1, 0), atol=1e-12)
    np.testing.assert_allclose(line.across, (0, -1), atol=1e-12)
    assert line.is_directed
    assert Fits(np.arange(2.0), np.ones((1, 2))).ratios.shape == (1, 2)


@pytest.mark.skipif(not KAMPALA.exists(), reason='real drone tiles are not there (../shared/data/kampala)')
def test_a_stated_shift_of_real_labels_is_recovered(tmp_path):
    size_m = 2 * math.pi * 6378137 / 2**20
    image = np.zeros((1024, 512, 3), np.uint8)
    for column, row in np.ndindex(2, 4):
        tile = Image.open(KAMPALA / f'tiles/20-{619226 + column}-{523264 + row}.png').convert('RGB')
        image[row * 256 : row * 256 + 256, column * 256 : column * 256 + 256] = tile
    west, north = 619226 * size_m - math.pi * 6378137, math.pi * 6378137 - 523264 * size_m
    write_geotiff(tmp_path / 'image.tif', image, (size_m / 256, 0, west, 0, -size_m / 256, north), 'EPSG:3857')
    frame = geopandas.read_file(KAMPALA / 'buildings.geojson').to_crs(3857)
    frame = frame[frame.within(shapely.box(west, north - 4 * size_m, west + 2 * size_m, north))][['geometry']]
    write_polygons(frame.set_geometry(frame.translate(3, -2)), tmp_path / 'labels.gpkg')
    settings = AlignmentSettings(tmp_path / 'image.tif', tmp_path / 'labels.gpkg', off_nadir_deg=0)
    roofs, _ = aligned_labels(align(settings, tmp_path / 'out.gpkg'), HeightClasses())
    off_m = np.add(roofs[['dx_m', 'dy_m']].to_numpy(), (3, -2))
    assert np.hypot(*np.median(off_m, axis=0)) <= 0.15
    assert np.mean(np.hypot(*off_m.T) <= 1) >= 0.9
