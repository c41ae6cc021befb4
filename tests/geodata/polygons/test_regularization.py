import numpy as np
import pytest
import shapely
from scipy import ndimage

from projects.geodata.polygonal import mask_outline
from projects.geodata.polygons.regularization import regularise
from projects.geodata.polygons.vectorization import VectorizationSettings, vectorize

UTM, PLACE = 'EPSG:32633', (0.5, 0, 500_000, 0, -0.5, 5_000_000)
SHAPES = {
    'rectangle': [(-45, -22), (45, -22), (45, 22), (-45, 22)],
    'ell': [(-60, -30), (60, -30), (60, 5), (20, 5), (20, 30), (-60, 30)],
    'steps': [(-50, -30), (50, -30), (50, 30), (20, 30), (20, 20), (-10, 20), (-10, 10), (-50, 10)],
    'bevel': [(-40, -30), (40, -30), (40, 0), (10, 30), (-40, 30)],
}


def turned(shape, angle_deg):
    return shapely.affinity.rotate(shapely.Polygon(SHAPES[shape]), angle_deg, origin=(0, 0))


def mask_of(polygon, size=200):
    rows, columns = np.mgrid[:size, :size] + 0.5 - size / 2
    return shapely.contains_xy(polygon, columns, rows)


def outlined(mask, tolerance=2.0):
    outline = mask_outline(mask)
    return regularise(np.array([outline]), tolerance, 1.0)[0], outline


@pytest.mark.parametrize('angle_deg', [0, 7, 22.5, 33.3, 45, 71])
@pytest.mark.parametrize('shape', SHAPES)
def test_shapes_come_back_with_their_corners(shape, angle_deg):
    """Pixels of known shapes give as many corners as there are, each within a fifth of a pixel.

    Less near are those at 45 degrees, where a whole edge misses the centres of its pixels, and oblique edges.
    """
    true = turned(shape, angle_deg)
    found, _ = outlined(mask_of(true))
    corners = shapely.get_coordinates(found)[:-1] - 100
    expected = shapely.get_coordinates(true)[:-1]
    assert len(corners) == len(expected)
    distances = np.linalg.norm(corners[:, None] - expected, axis=2).min(axis=1)
    assert distances.max() < (0.6 if shape == 'bevel' else 0.4 if angle_deg == 45 else 0.2)


def test_holes_follow_the_building():
    court = turned('rectangle', 20).difference(shapely.affinity.rotate(shapely.box(-20, -8, 15, 9), 20, origin=(0, 0)))
    found, _ = outlined(mask_of(court))
    assert len(found.interiors) == 1
    assert [len(ring.coords) for ring in (found.exterior, *found.interiors)] == [5, 5]
    assert shapely.hausdorff_distance(shapely.affinity.translate(found, -100, -100), court) < 0.5


def test_details_below_the_tolerance_go_and_those_above_stay():
    notched = shapely.Polygon(SHAPES['rectangle']).difference(shapely.box(-5, 20, 5, 30))  # 2 deep
    dented = shapely.Polygon(SHAPES['rectangle']).difference(shapely.box(-5, 17, 5, 30))  # 5 deep
    assert shapely.get_num_coordinates(outlined(mask_of(notched), 3.0)[0]) == 5
    assert shapely.get_num_coordinates(outlined(mask_of(dented), 3.0)[0]) == 9


def test_wavering_borders_give_straight_edges():
    random = np.random.default_rng(0)
    field = ndimage.gaussian_filter(random.normal(size=(200, 200)), 3)
    distance = ndimage.distance_transform_edt(mask_of(turned('ell', 30)))
    inverse = ndimage.distance_transform_edt(~mask_of(turned('ell', 30)))
    found, outline = outlined(distance - inverse + field / field.std() * 0.7 > 0, 3.0)
    assert shapely.get_num_coordinates(found) <= 9 < shapely.get_num_coordinates(outline) / 10
    true = shapely.affinity.translate(turned('ell', 30), 100, 100)
    assert shapely.hausdorff_distance(found, true) < 3


def test_what_cannot_be_made_regular_is_none_and_keeps_its_simplified_outline(logged):
    small, large = np.zeros((60, 200), bool), mask_of(turned('ell', 5))
    small[10, 10:13] = True
    first, second = regularise(np.array([mask_outline(small), mask_outline(large)]), 4.0, 1.0)
    assert first is None
    assert second is not None
    frame = vectorize(np.concatenate([small, large]), PLACE, UTM, VectorizationSettings(regularise=True))
    assert frame.is_valid.all()
    assert frame.area_m2.round(2).min() == 0.75
    assert any('1 of 2 outlines could not be made regular' in message for message in logged)


@pytest.mark.parametrize(('tolerance', 'step'), [(0, 1), (1, -1), (np.inf, 1), (np.nan, 1)])
def test_lengths_that_are_none_are_refused(tolerance, step):
    with pytest.raises(ValueError, match='expected a length, more than 0'):
        regularise(np.array([shapely.box(0, 0, 1, 1)]), tolerance, step)


def test_nothing_gives_nothing():
    assert len(regularise(np.array([], object), 1.0, 1.0)) == 0


def test_right_angles_on_the_map():
    for angle_deg in range(0, 90, 10):
        mask = mask_of(turned('rectangle', angle_deg), 120)
        truth = shapely.affinity.affine_transform(turned('rectangle', angle_deg), (0.5, 0, 0, -0.5, 500_030, 4_999_970))
        polygon = vectorize(mask, PLACE, UTM, VectorizationSettings(regularise=True)).geometry[0]
        assert shapely.hausdorff_distance(polygon, truth) < 0.15  # 0.3 px
        points = np.asarray(polygon.exterior.coords)
        assert len(points) == 5
        edges = np.diff(points, axis=0)
        edges /= np.linalg.norm(edges, axis=1, keepdims=True)
        np.testing.assert_allclose((edges * np.roll(edges, 1, axis=0)).sum(axis=1), 0, atol=1e-4)


def test_degrees_are_turned_into_metres_before_angles_are_right():
    truth = turned('rectangle', 30)
    step = 1e-5  # degrees: 1.1 m north, 0.56 m east at a latitude of 60
    rows, columns = np.mgrid[:200, :200] + 0.5 - 100
    mask = shapely.contains_xy(truth, columns * 0.5585, rows * 1.114)
    place = (step, 0, 10.0, 0, -step, 60.0)
    polygon = (
        vectorize(mask, place, 'EPSG:4326', VectorizationSettings(regularise=True)).to_crs('EPSG:32632').geometry[0]
    )
    points = shapely.get_coordinates(polygon)
    edges = np.diff(points, axis=0)
    edges /= np.linalg.norm(edges, axis=1, keepdims=True)
    assert len(points) == 5
    np.testing.assert_allclose((edges * np.roll(edges, 1, axis=0)).sum(axis=1), 0, atol=0.005)


def test_regularized_shapes_stay_valid_and_near():
    mask = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(200, 200)), 4) > 0.005
    exact, plain, regular = (
        vectorize(mask, PLACE, UTM, VectorizationSettings(min_area_m2=1, **options))
        for options in ({'simplify_m': 0}, {}, {'regularise': True})
    )
    assert regular.is_valid.all()
    assert len(regular) == len(exact)
    shared = exact.geometry.intersection(regular.geometry).area / exact.geometry.union(regular.geometry).area
    changed = ~regular.geom_equals(plain)
    assert 10 < changed.sum() < len(regular)
    assert shared[changed].min() >= 0.8 - 1e-3
