import numpy as np
import pytest
import shapely
from pyproj import Geod
from scipy import ndimage

from projects.geodata.polygons.vectorization import (
    PredictionWindow,
    VectorizationSettings,
    vectorize,
    vectorize_windows,
)
from projects.geodata.raster_files import rasterize
from projects.geodata.vector_files import read_buildings, write_polygons

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
    return rasterize(frame.geometry.to_numpy(), np.ones(len(frame), int), mask.shape[::-1], place, np.uint8) > 0


def rotated_rectangle(size, half, angle_deg):
    rows, columns = np.mgrid[:size, :size] + 0.5 - size / 2
    angle = np.radians(angle_deg)
    along, across = columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)
    return (abs(along) <= half[0]) & (abs(across) <= half[1])


@pytest.mark.parametrize('mask', [blobs(), blobs(seed=1, sigma=1.5), speckle(), np.ones((5, 7), bool)])
def test_exact_polygons_rasterize_to_the_same_mask(mask):
    frame = vectorize(mask, PLACE, UTM, EXACT)
    np.testing.assert_array_equal(back(frame, mask), mask)
    assert frame.is_valid.all()
    assert (frame.geom_type == 'Polygon').all()
    assert frame.area.sum() == mask.sum() * 0.25


def test_simplified_polygons_differ_in_pixels_at_the_border_alone():
    mask = blobs()
    frame = vectorize(mask, PLACE, UTM, VectorizationSettings())
    neighbors = np.ones((3, 3), bool)
    border = ndimage.binary_dilation(mask, neighbors) & ~ndimage.binary_erosion(mask, neighbors, border_value=1)
    changed = back(frame, mask) != mask
    assert changed.any()
    assert not (changed & ~border).any()
    exact = vectorize(mask, PLACE, UTM, EXACT)
    assert frame.count_coordinates().sum() < exact.count_coordinates().sum() / 3
    assert frame.is_valid.all()
    np.testing.assert_array_less(shapely.hausdorff_distance(frame.geometry, exact.geometry), 0.5001)


def test_the_tolerance_is_in_meters_on_the_ground():
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:50] = mask[7:10, 28:33] = True  # a square with a bump of 3 pixels
    at_60_north = (1.0, 0, 1_000_000, 0, -1.0, 8_399_738)  # web mercator: 1 unit is half a metre
    for tolerance_m, top_px in ((1.4, 7), (1.6, 10)):
        frame = vectorize(mask, at_60_north, 'EPSG:3857', VectorizationSettings(simplify_m=tolerance_m))
        assert frame.total_bounds[3] == 8_399_738 - top_px


def outlines_px(mask):
    """Exact polygons in columns and rows."""
    frame = vectorize(mask, PLACE, UTM, EXACT)
    return shapely.transform(frame.geometry.to_numpy(), lambda points: (points - (500_000, 5_000_000)) * (2, -2))


def test_a_hole_stays_a_hole_and_an_island_in_it_is_a_building():
    mask = np.zeros((12, 12), bool)
    mask[1:11, 1:11] = True
    mask[3:9, 3:9] = False
    mask[5:7, 5:7] = True
    island, ring = sorted(outlines_px(mask), key=shapely.area)
    assert island.equals(shapely.box(5, 5, 7, 7))
    assert ring.equals(shapely.box(1, 1, 11, 11) - shapely.box(3, 3, 9, 9))


def test_pixels_that_touch_at_a_corner_are_two_buildings():
    assert len(outlines_px(np.eye(2, dtype=bool))) == 2
    ring = np.ones((4, 4), bool)
    ring[1, 1] = ring[2, 2] = False
    (polygon,) = outlines_px(ring)
    assert polygon.is_valid
    assert len(polygon.interiors) == 2


def test_a_corner_of_a_pixel_lies_where_the_geotransform_says():
    mask = np.zeros((10, 10), bool)
    mask[2, 3] = True
    frame = vectorize(mask, PLACE, UTM, EXACT)
    assert frame.crs == UTM
    np.testing.assert_allclose(frame.total_bounds, (500_001.5, 4_999_998.5, 500_002, 4_999_999), rtol=0, atol=1e-6)
    sheared = vectorize(mask, (1, 2, 500_000, 3, -1, 5_000_000), UTM, EXACT).geometry[0]
    corners = [(500_000 + x + 2 * y, 5_000_000 + 3 * x - y) for x, y in ((3, 2), (4, 2), (4, 3), (3, 3))]
    np.testing.assert_allclose(sheared.symmetric_difference(shapely.Polygon(corners)).area, 0, atol=1e-6)


def test_scores_are_means_of_the_pixels_inside():
    probabilities = np.zeros((6, 6))
    probabilities[0, :3] = 0.5, 0.75, 1.0
    probabilities[3:6, 3:6] = 0.9
    probabilities[4, 4] = 0.1
    frame = vectorize(probabilities, PLACE, UTM, VectorizationSettings(0.4, simplify_m=0)).sort_values('area_m2')
    np.testing.assert_allclose(frame['score'], [0.75, 0.9])
    np.testing.assert_allclose(frame['area_m2'], np.array([3, 8]) * 0.25 / SCALE**2, rtol=1e-5)


def test_building_is_where_the_probability_is_greater_than_the_threshold():
    probabilities = np.array([[0.29, 0.3, 0.31, 0.0, np.nan, 0.9]])
    frame = vectorize(probabilities, PLACE, UTM, VectorizationSettings(0.3, simplify_m=0))
    assert frame['score'].tolist() == [0.31, 0.9]


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
    frame = vectorize(mask, place, crs, EXACT)
    (polygon,) = frame.to_crs('EPSG:4326').geometry.segmentize(1e-5)
    area_m2, _ = Geod(ellps='WGS84').geometry_area_perimeter(polygon)
    assert frame['area_m2'][0] == pytest.approx(abs(area_m2), rel=1e-4)


def test_the_minimum_area_is_in_square_meters_on_the_ground():
    mask = np.zeros((20, 20), bool)
    mask[2:12, 2:12] = True
    mask[15:17, 15] = True
    for place, crs, area_m2 in ((PLACE, UTM, 0.5), ((1.0, 0, 1_000_000, 0, -1.0, 8_399_738), 'EPSG:3857', 0.5)):
        for min_area_m2, count in ((0.98 * area_m2, 2), (1.02 * area_m2, 1)):
            assert len(vectorize(mask, place, crs, VectorizationSettings(min_area_m2=min_area_m2))) == count


def test_instances_keep_their_numbers_and_neighbors_stay_apart():
    instances = np.zeros((6, 9), np.uint16)
    instances[1:5, 1:4] = 7
    instances[1:5, 4:8] = 300
    instances[5, 0] = 7
    frame = vectorize(None, PLACE, UTM, EXACT, instances=instances)
    assert sorted(zip(frame['instance'], frame.area * 4, strict=True)) == [(7, 13), (300, 16)]
    assert frame.geom_type.tolist() == ['MultiPolygon', 'Polygon']
    assert list(frame.columns) == ['area_m2', 'instance', 'geometry']
    assert frame.union_all().area * 4 == 29


def test_an_instance_in_pieces_is_one_row_whatever_the_windows_and_settings(tmp_path):
    instances = np.zeros((60, 60), np.uint16)
    instances[5:15, 5:15] = instances[40:50, 45:55] = 7
    instances[20:30, 20:30] = 9
    heights_m = np.where(instances == 7, 10.0, np.nan)
    heights_m[45:50, 45:55] = 30  # a quarter of the pixels of 7
    for settings in (EXACT, VectorizationSettings(), VectorizationSettings(regularise=True)):
        whole = vectorize(None, PLACE, UTM, settings, instances=instances, heights_m=heights_m)
        for frame in (whole, by_windows(None, 12, settings, instances=instances, heights_m=heights_m)):
            assert frame['instance'].tolist() == [7, 9]
            np.testing.assert_allclose(frame.area, [50, 25], rtol=1e-4)
            np.testing.assert_array_equal(frame['height_m'], [15, np.nan])
            assert frame.is_valid.all()
    assert len(vectorize(None, PLACE, UTM, VectorizationSettings(min_area_m2=26), instances=instances)) == 1
    write_polygons(whole, tmp_path / 'a.gpkg')
    assert read_buildings(tmp_path / 'a.gpkg', structure_column='instance')['structure'].tolist() == [0, 0, 1]


def test_holes_below_an_area_are_filled():
    mask = np.zeros((20, 20), bool)
    mask[1:19, 1:19] = True
    mask[3, 3:6] = mask[8:12, 8:12] = False  # holes of 0.75 and 4 m²
    for area_m2, left_m2 in ((0, 4.75), (0.7, 4.75), (0.8, 4), (3.9, 4), (4.1, 0)):
        settings = VectorizationSettings(simplify_m=0, fill_holes_m2=area_m2)
        for frame in (vectorize(mask, PLACE, UTM, settings), by_windows(mask, 7, settings)):
            assert frame.area.tolist() == [81 - left_m2]
    instances = mask + 2 * np.pad(np.ones((2, 2), int), ((0, 18), (0, 18)))
    frame = vectorize(None, PLACE, UTM, VectorizationSettings(fill_holes_m2=5, simplify_m=0), instances=instances)
    assert frame.area.sum() == 81.75


def test_the_height_is_the_mean_of_the_pixels_that_know_it():
    mask = np.zeros((4, 8), bool)
    mask[1, 1:6] = mask[3, 0:2] = True
    heights_m = np.full((4, 8), 1000.0)
    heights_m[1, 1:6] = 10, 12, 20, np.nan, 9999
    heights_m[3] = 0
    frame = vectorize(mask, PLACE, UTM, EXACT, heights_m=heights_m).sort_values('area_m2')
    np.testing.assert_array_equal(frame['height_m'], [np.nan, 14])


def by_windows(probabilities, side, settings=EXACT, **layers):
    """The same map, traced window by window, in any order."""
    size = len(next(layer for layer in (probabilities, *layers.values()) if layer is not None))
    windows = []
    for row in range(0, size, side):
        for left in range(0, size, side):
            part = np.s_[row : row + side, left : left + side]
            cut = {name: layer[part] for name, layer in layers.items()}
            cut['probabilities'] = None if probabilities is None else probabilities[part]
            windows.append(PredictionWindow(**cut, column=left, row=row))
    order = np.random.default_rng(0).permutation(len(windows))
    return vectorize_windows((windows[index] for index in order), (size, size), PLACE, UTM, settings)


def in_order(frame):
    return frame.iloc[np.argsort(frame.normalize().to_wkb())].reset_index(drop=True)


@pytest.mark.parametrize('mask', [blobs(), blobs(seed=2, sigma=1.5), speckle(), np.ones((50, 50), bool)])
def test_windows_merged_across_their_borders_equal_the_whole(mask):
    random = np.random.default_rng(3)
    probabilities = mask * random.uniform(0.51, 1, mask.shape)
    heights_m = random.uniform(-10, 50, mask.shape)
    merged = in_order(by_windows(probabilities, 37, heights_m=heights_m))
    whole = in_order(vectorize(probabilities, PLACE, UTM, EXACT, heights_m=heights_m))
    assert shapely.equals(merged.geometry.to_numpy(), whole.geometry.to_numpy()).all()
    for column in ('score', 'area_m2', 'height_m'):
        np.testing.assert_allclose(merged[column], whole[column])


def test_windows_of_an_instance_map_join_equal_numbers_alone():
    instances = ndimage.label(blobs(120, 4, 2.0), np.ones((3, 3)))[0]
    instances[:, 60:] *= 2
    merged = in_order(by_windows(None, 20, instances=instances))
    whole = in_order(vectorize(None, PLACE, UTM, EXACT, instances=instances))
    assert shapely.equals(merged.geometry.to_numpy(), whole.geometry.to_numpy()).all()
    np.testing.assert_array_equal(merged['instance'], whole['instance'])


@pytest.mark.parametrize('suffix', ['.gpkg', '.geojson'])
def test_a_map_without_buildings_gives_an_empty_file_with_its_columns(tmp_path, suffix):
    nothing = np.zeros((8, 8), np.float32)
    for settings in (VectorizationSettings(min_area_m2=5, regularise=True), EXACT):
        for frame in (vectorize(nothing, PLACE, UTM, settings), by_windows(nothing, 4, settings)):
            assert list(frame.columns) == ['score', 'area_m2', 'geometry']
            assert all(kind.kind == 'f' for kind in frame.dtypes.iloc[:2])
            write_polygons(frame, tmp_path / f'empty{suffix}')
            assert len(read_buildings(tmp_path / f'empty{suffix}')) == 0


def test_a_geopackage_keeps_scores_areas_and_places(tmp_path):
    frame = vectorize(blobs(), PLACE, UTM, VectorizationSettings())
    write_polygons(frame, tmp_path / 'map.gpkg')
    again = read_buildings(tmp_path / 'map.gpkg', height_column='score')
    np.testing.assert_array_equal(again['height_m'], frame['score'])
    assert shapely.equals(again.geometry.to_numpy(), frame.geometry.to_numpy()).all()


@pytest.mark.parametrize('wrong', [np.inf, -0.1, 1.5, 255])
def test_values_that_are_no_probabilities_are_refused(wrong):
    probabilities = np.full((4, 4), 0.2)
    probabilities[2, 3] = wrong
    with pytest.raises(ValueError, match='expected 0 to 1'):
        vectorize(probabilities, PLACE, UTM)


def test_layers_that_do_not_fit_are_refused():
    zeros = np.zeros((4, 4))
    for arguments in ((np.zeros((1, 4, 4)),), (None,), (zeros, zeros.astype(int)[:3]), (zeros, None, zeros[:3])):
        with pytest.raises(ValueError, match='expected'):
            PredictionWindow(*arguments)
    for instances in (zeros, np.full((4, 4), -1)):
        with pytest.raises(ValueError, match='whole numbers'):
            PredictionWindow(None, instances)


@pytest.mark.parametrize(
    'wrong',
    [
        {'threshold': -0.1},
        {'threshold': 1},
        {'min_area_m2': -1},
        {'fill_holes_m2': -1},
        {'simplify_m': np.nan},
        {'simplify_m': -1},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VectorizationSettings(**wrong)
