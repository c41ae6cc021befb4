import numpy as np
import pytest
import shapely
from pyproj import Geod
from scipy import ndimage

from projects.building_extraction.raster_files import rasterise
from projects.building_extraction.vector_files import read_buildings, write_polygons
from projects.building_extraction.vectorization import (
    VectorizationSettings,
    merge_across_borders,
    to_map,
    trace_instances,
    trace_probabilities,
)

UTM, PLACE = 'EPSG:32633', (0.5, 0, 500_000, 0, -0.5, 5_000_000)  # on the central meridian: scale 0.9996
EXACT = VectorizationSettings(simplify_m=0)
SCALE = 0.9996


def blobs(size=200, seed=0, sigma=4.0):
    """Random regions with holes, islands and corners that touch."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), sigma)
    return noise > 0.1 * noise.std()


def speckle(size=80, seed=0):
    """Pixels at random: the hardest case for corners that touch."""
    return np.random.default_rng(seed).random((size, size)) < 0.5


def back(frame, mask, place=PLACE):
    return rasterise(frame.geometry.to_numpy(), np.ones(len(frame), int), mask.shape[::-1], place, np.uint8) > 0


def rotated_rectangle(size, half, angle_deg):
    rows, columns = np.mgrid[:size, :size] + 0.5 - size / 2
    angle = np.radians(angle_deg)
    along, across = columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)
    return (abs(along) <= half[0]) & (abs(across) <= half[1])


@pytest.mark.parametrize('mask', [blobs(), blobs(seed=1, sigma=1.5), speckle(), np.ones((5, 7), bool)])
def test_exact_polygons_rasterise_to_the_same_mask(mask):
    frame = to_map(trace_probabilities(mask), PLACE, UTM, EXACT)
    np.testing.assert_array_equal(back(frame, mask), mask)
    assert frame.is_valid.all()
    assert (frame.geom_type == 'Polygon').all()
    assert frame.area.sum() == mask.sum() * 0.25


def test_simplified_polygons_differ_in_pixels_at_the_border_alone():
    mask = blobs()
    frame = to_map(trace_probabilities(mask), PLACE, UTM, VectorizationSettings())
    neighbours = np.ones((3, 3), bool)
    border = ndimage.binary_dilation(mask, neighbours) & ~ndimage.binary_erosion(mask, neighbours, border_value=1)
    changed = back(frame, mask) != mask
    assert changed.any()
    assert not (changed & ~border).any()
    exact = to_map(trace_probabilities(mask), PLACE, UTM, EXACT)
    assert frame.count_coordinates().sum() < exact.count_coordinates().sum() / 3
    assert frame.is_valid.all()
    np.testing.assert_array_less(shapely.hausdorff_distance(frame.geometry, exact.geometry), 0.5 / SCALE + 1e-6)


def test_the_tolerance_is_in_metres_on_the_ground():
    mask = rotated_rectangle(200, (60, 30), 20)
    place_at_60_north = (1.0, 0, 1_000_000, 0, -1.0, 8_399_738)  # web mercator: 1 unit is half a metre
    for tolerance_m in (0.5, 2.0):
        settings = VectorizationSettings(simplify_m=tolerance_m)
        outlines = trace_probabilities(mask)
        frame, exact = (to_map(outlines, place_at_60_north, 'EPSG:3857', s) for s in (settings, EXACT))
        off = shapely.hausdorff_distance(frame.geometry[0], exact.geometry[0])
        assert tolerance_m < off <= 2 * tolerance_m * 1.01


def test_a_hole_stays_a_hole_and_an_island_in_it_is_a_building():
    mask = np.zeros((12, 12), bool)
    mask[1:11, 1:11] = True
    mask[3:9, 3:9] = False
    mask[5:7, 5:7] = True
    outlines = trace_probabilities(mask)
    by_area = sorted(outlines.polygons, key=shapely.area)
    assert [polygon.area for polygon in by_area] == [4, 64]
    assert by_area[0].equals(shapely.box(5, 5, 7, 7))
    assert by_area[1].equals(shapely.box(1, 1, 11, 11) - shapely.box(3, 3, 9, 9))


def test_pixels_that_touch_at_a_corner_are_two_buildings():
    outlines = trace_probabilities(np.eye(2, dtype=bool))
    assert len(outlines.polygons) == 2
    ring = np.ones((4, 4), bool)
    ring[1, 1] = ring[2, 2] = False
    (polygon,) = trace_probabilities(ring).polygons
    assert polygon.is_valid
    assert len(polygon.interiors) == 2


def test_a_corner_of_a_pixel_lies_where_the_geotransform_says():
    mask = np.zeros((10, 10), bool)
    mask[2, 3] = True
    frame = to_map(trace_probabilities(mask), PLACE, UTM, EXACT)
    assert frame.crs == UTM
    np.testing.assert_allclose(frame.total_bounds, (500_001.5, 4_999_998.5, 500_002, 4_999_999), rtol=0, atol=1e-6)
    sheared = to_map(trace_probabilities(mask), (1, 2, 500_000, 3, -1, 5_000_000), UTM, EXACT).geometry[0]
    corners = [(500_000 + x + 2 * y, 5_000_000 + 3 * x - y) for x, y in ((3, 2), (4, 2), (4, 3), (3, 3))]
    np.testing.assert_allclose(sheared.symmetric_difference(shapely.Polygon(corners)).area, 0, atol=1e-6)


def test_scores_are_means_of_the_pixels_inside():
    probabilities = np.zeros((6, 6))
    probabilities[0, :3] = 0.5, 0.75, 1.0
    probabilities[3:6, 3:6] = 0.9
    probabilities[4, 4] = 0.1
    frame = to_map(trace_probabilities(probabilities), PLACE, UTM, EXACT).sort_values('area_m2')
    np.testing.assert_allclose(frame['score'], [0.75, 0.9])
    np.testing.assert_allclose(frame['area_m2'], np.array([3, 8]) * 0.25 / SCALE**2, rtol=1e-5)


def test_the_threshold_itself_is_building():
    probabilities = np.array([[0.29, 0.3, 0.31, 0.0]])
    assert trace_probabilities(probabilities, 0.3).polygons[0].area == 2


@pytest.mark.parametrize(
    ('crs', 'place'),
    [
        ('EPSG:3857', (1.0, 0, 1_000_000, 0, -1.0, 8_399_738)),
        ('EPSG:4326', (1e-5, 0, 15.0, 0, -1e-5, 60.0)),
        ('EPSG:2263', (2.0, 0, 980_000, 0, -2.0, 200_000)),  # feet
        (UTM, PLACE),
    ],
)
def test_areas_are_those_on_the_ground_in_every_coordinate_system(crs, place):
    mask = rotated_rectangle(120, (40, 20), 30)
    frame = to_map(trace_probabilities(mask), place, crs, EXACT)
    (polygon,) = frame.to_crs('EPSG:4326').geometry.segmentize(1e-5)
    area_m2, _ = Geod(ellps='WGS84').geometry_area_perimeter(polygon)
    assert frame['area_m2'][0] == pytest.approx(abs(area_m2), rel=1e-4)


def test_the_minimum_area_drops_small_buildings_and_fills_small_holes():
    mask = np.zeros((20, 20), bool)
    mask[2:12, 2:12] = True  # 25 m²
    mask[5, 5] = False  # 0.25 m²
    mask[8:10, 8:10] = False  # 1 m²
    mask[15:17, 15] = True  # 0.5 m²
    frame = to_map(trace_probabilities(mask), PLACE, UTM, VectorizationSettings(min_area_m2=0.6, simplify_m=0))
    assert len(frame) == 1
    assert frame['area_m2'][0] == pytest.approx(24, rel=2e-3)


def test_instances_keep_their_numbers_and_neighbours_stay_apart():
    instances = np.zeros((6, 9), np.uint16)
    instances[1:5, 1:4] = 7
    instances[1:5, 4:8] = 300
    instances[5, 0] = 7
    outlines = trace_instances(instances)
    assert sorted(zip(outlines.instances.tolist(), shapely.area(outlines.polygons), strict=True)) == [
        (7, 1),
        (7, 12),
        (300, 16),
    ]
    assert np.isnan(outlines.scores).all()
    assert shapely.union_all(outlines.polygons).area == 29


def test_the_height_is_the_median_of_the_pixels_that_know_it():
    mask = np.zeros((4, 8), bool)
    mask[1, 1:6] = mask[3, 0:2] = True
    heights_m = np.zeros((4, 8))
    heights_m[1, 1:6] = 10, 12, 90, np.nan, 0
    outlines = trace_probabilities(mask, heights_m=heights_m)
    by_area = outlines.heights_m[np.argsort(shapely.area(outlines.polygons))]
    np.testing.assert_array_equal(by_area, [np.nan, 12])


def traced_by_windows(values, side, trace=trace_probabilities):
    size = len(values)
    starts = range(0, size, side)
    return merge_across_borders(
        [trace(values[row : row + side, left : left + side], origin_px=(left, row)) for row in starts for left in starts]
    )


def content(outlines):
    polygons = shapely.normalize(shapely.simplify(outlines.polygons, 0))
    return sorted(zip(shapely.to_wkb(polygons), outlines.instances, strict=True))


@pytest.mark.parametrize('mask', [blobs(), blobs(seed=2, sigma=1.5), speckle(), np.ones((50, 50), bool)])
def test_windows_merged_across_their_borders_equal_the_whole(mask):
    probabilities = mask * np.random.default_rng(3).uniform(0.5, 1, mask.shape)
    merged, whole = traced_by_windows(probabilities, 37), trace_probabilities(probabilities)
    assert content(merged) == content(whole)
    assert merged.window_px == whole.window_px

    def by_place(outlines):
        return outlines.scores[np.lexsort(shapely.bounds(outlines.polygons).T)]

    np.testing.assert_allclose(by_place(merged), by_place(whole))


def test_windows_of_an_instance_map_join_equal_numbers_alone():
    labels = ndimage.label(blobs(120, 4, 2.0), np.ones((3, 3)))[0]
    labels[:, 60:] *= 2
    assert content(traced_by_windows(labels, 20, trace_instances)) == content(trace_instances(labels))


def test_heights_of_parts_are_weighted_by_their_pixels():
    mask, heights_m = np.ones((2, 10), bool), np.full((2, 10), 30.0)
    heights_m[:, :2] = 10
    heights_m[:, 5:] = np.nan
    parts = [
        trace_probabilities(mask[:, a:b], heights_m=heights_m[:, a:b], origin_px=(a, 0))
        for a, b in ((0, 2), (2, 5), (5, 10))
    ]
    merged = merge_across_borders(parts)
    assert merged.polygons[0].equals(shapely.box(0, 0, 10, 2))
    np.testing.assert_allclose(merged.heights_m, [(4 * 10 + 6 * 30) / 10])


def test_right_angles_agree_with_rotated_rectangles():
    for angle_deg in range(0, 90, 10):
        mask = rotated_rectangle(120, (45, 22), angle_deg)
        truth = shapely.affinity.rotate(shapely.box(-45, -22, 45, 22), -angle_deg, origin=(0, 0))
        truth = shapely.affinity.affine_transform(truth, (0.5, 0, 0, 0.5, 500_030, 4_999_970))
        frame = to_map(trace_probabilities(mask), PLACE, UTM, VectorizationSettings(regularise=True))
        polygon = frame.geometry[0]
        iou = polygon.intersection(truth).area / polygon.union(truth).area
        assert iou > 0.96
        points = np.asarray(polygon.exterior.coords)
        assert len(points) == 5
        edges = np.diff(points, axis=0)
        edges /= np.linalg.norm(edges, axis=1, keepdims=True)
        np.testing.assert_allclose((edges * np.roll(edges, 1, axis=0)).sum(axis=1), 0, atol=0.01)


def test_regularised_shapes_stay_valid_keep_holes_and_stay_near():
    mask = blobs()
    plain, regular = (
        to_map(trace_probabilities(mask), PLACE, UTM, VectorizationSettings(min_area_m2=1, regularise=choice))
        for choice in (False, True)
    )
    assert regular.is_valid.all()
    assert len(regular) == len(plain)
    np.testing.assert_array_equal(
        shapely.get_num_interior_rings(regular.geometry), shapely.get_num_interior_rings(plain.geometry)
    )
    shared = plain.geometry.intersection(regular.geometry).area / plain.geometry.union(regular.geometry).area
    assert shared.min() >= 0.75 - 1e-6


@pytest.mark.parametrize('suffix', ['.gpkg', '.geojson'])
def test_a_map_without_buildings_gives_an_empty_file_with_its_columns(tmp_path, suffix):
    for settings in (VectorizationSettings(min_area_m2=5, regularise=True), EXACT):
        for outlines in (
            trace_probabilities(np.zeros((8, 8), np.float32), heights_m=np.zeros((8, 8))),
            traced_by_windows(np.zeros((8, 8)), 4),
        ):
            frame = to_map(outlines, PLACE, UTM, settings)
            assert list(frame.columns) == ['instance', 'score', 'area_m2', 'height_m', 'geometry']
            assert frame['score'].dtype == frame['area_m2'].dtype == float
            write_polygons(frame, tmp_path / f'empty{suffix}')
            assert len(read_buildings(tmp_path / f'empty{suffix}')) == 0


def test_a_geopackage_keeps_scores_areas_and_places(tmp_path):
    frame = to_map(trace_probabilities(blobs()), PLACE, UTM, VectorizationSettings())
    write_polygons(frame, tmp_path / 'map.gpkg')
    again = read_buildings(tmp_path / 'map.gpkg', height_column='score')
    np.testing.assert_array_equal(again['height_m'], frame['score'])
    assert shapely.equals(again.geometry.to_numpy(), frame.geometry.to_numpy()).all()


def test_values_that_are_no_probabilities_are_refused():
    probabilities = np.full((4, 4), 0.2)
    for wrong in (np.nan, np.inf, -0.1, 1.5):
        probabilities[2, 3] = wrong
        with pytest.raises(ValueError, match=r'1 of 16 values are no probabilities.*row 2, column 3'):
            trace_probabilities(probabilities)
        with pytest.raises(ValueError, match='no probabilities'):
            trace_instances(np.ones((4, 4), int), probabilities)
    with pytest.raises(ValueError, match=r'\(1, 4, 4\)'):
        trace_probabilities(np.zeros((1, 4, 4)))
    with pytest.raises(ValueError, match='as the map'):
        trace_probabilities(np.zeros((4, 4)), heights_m=np.zeros((4, 5)))
    with pytest.raises(ValueError, match='expected integers'):
        trace_instances(np.zeros((4, 4)))
    with pytest.raises(ValueError, match='from -1'):
        trace_instances(np.full((4, 4), -1))
    with pytest.raises(ValueError, match='at least one window'):
        merge_across_borders([])


@pytest.mark.parametrize(
    'wrong', [{'threshold': 0}, {'threshold': 1.1}, {'min_area_m2': -1}, {'simplify_m': np.nan}, {'simplify_m': -1}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VectorizationSettings(**wrong)
