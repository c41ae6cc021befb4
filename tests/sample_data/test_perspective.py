import numpy as np
import pytest
from shapely import Point, box

from projects.sample_data.perspective import Camera, Canvas

CAMERA = Camera(focal_px=100.0, center_px=(50.0, 40.0), height_m=2.0)
LABELS = {'far': 3, 'near': 7, 'side': 9}
RED, GREEN = np.array([200.0, 0.0, 0.0]), np.array([0.0, 200.0, 0.0])


@pytest.fixture
def canvas():
    return Canvas((80, 100), CAMERA, LABELS)


def test_project():
    # 100 px x 1 m / 10 m = 10 px right; the ground, 2 m below the camera, 20 px below the horizon
    points = np.array([[1.0, 0.0, 10.0], [0.0, 2.0, 30.0], [-2.0, 4.0, 20.0]])
    np.testing.assert_allclose(CAMERA.project(points), [[60, 60], [50, 40], [40, 30]])


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_intersect_is_the_inverse_of_project(axis):
    point = np.array([1.5, 3.2, 8.0])
    ((x, y),) = CAMERA.project(point[None])
    found = CAMERA.intersect(axis, point[axis], np.array([[x]]), np.array([[y]]))
    np.testing.assert_allclose(found[:, 0, 0], point)


def test_a_surface_across_z_has_its_exact_pixels(canvas):
    canvas.surface('z', 10.0, box(-1, 0, 1, 2), 'near', RED)  # 40 to 60 px across, 40 to 60 down
    expected = np.zeros((80, 100), dtype=int)
    expected[40:60, 40:60] = 7
    np.testing.assert_array_equal(canvas.labels, expected)
    np.testing.assert_allclose(canvas.picture, (expected == 7)[..., None] * RED, atol=1)


def test_the_ground_reaches_the_horizon_and_narrows(canvas):
    canvas.surface('y', 0.0, box(-1, 0, 1, 1000), 'near', RED)
    rows = (canvas.labels == 7).sum(axis=1)
    assert (rows[:41] == 0).all()
    # y px below the horizon, z = 200 / y and the road is 200 / z = y px wide
    np.testing.assert_allclose(rows[42:], np.arange(42, 80) - 40 + 0.5, atol=1)


def test_a_wall_beside_the_camera(canvas):
    canvas.surface('x', 2.0, box(5, 0, 10, 2), 'side', RED)
    columns = np.flatnonzero((canvas.labels == 9).any(axis=0))
    assert (columns[0], columns[-1]) == (70, 89)  # 100 x 2 / 10 and 100 x 2 / 5 right of the centre
    heights = (canvas.labels == 9).sum(axis=0)
    assert heights[70] == pytest.approx(20, abs=1)
    assert heights[89] == pytest.approx(40, abs=1)


@pytest.mark.parametrize(('axis', 'shape'), [('x', box(-9, 0, 9, 2)), ('y', box(-1, -9, 1, 9))])
def test_what_reaches_behind_the_camera_is_cut_off(canvas, axis, shape):
    canvas.surface(axis, 0.5, shape, 'near', RED)
    assert np.isfinite(canvas.picture).all()
    assert 0 < (canvas.labels == 7).mean() < 0.6


def test_a_pixel_has_the_label_of_what_covers_more_than_half_of_it(canvas):
    canvas.surface('z', 10.0, box(-9, -9, 9, 9), 'far', GREEN)
    for x, y, radius in ((0.3, 1.1, 1.37), (-2.2, 3.3, 0.41), (4.6, 0.2, 2.2)):
        canvas.surface('z', 10.0, Point(x, y).buffer(radius), 'near', RED)
    share = canvas.picture[..., 0] / 200
    assert ((share > 0.05) & (share < 0.95)).sum() > 100  # outlines are blended
    np.testing.assert_array_equal(canvas.labels == 7, share > 0.5)
    np.testing.assert_array_equal(canvas.labels == 3, share <= 0.5)


def test_markings_and_shadows_keep_the_labels(canvas):
    canvas.surface('y', 0.0, box(-9, 0, 9, 1000), 'far', GREEN)
    before = canvas.labels.copy()
    canvas.surface('y', 0.0, box(-1, 3, 1, 9), None, RED, opacity=0.5)
    np.testing.assert_array_equal(canvas.labels, before)
    np.testing.assert_allclose(canvas.picture[75, 50], [100, 100, 0], atol=1)


def test_materials_are_given_coordinates_in_meters(canvas):
    seen = {}

    def material(u, v):
        seen['x'], seen['z'] = u, v
        return np.zeros((*u.shape, 3))

    canvas.surface('y', 0.0, box(-1, 4, 1, 5), 'near', material)  # rows 80 to 90 lie below the picture
    canvas.surface('y', 0.0, box(-1, 5, 1, 10), 'near', material)  # rows 60 to 80
    assert seen['z'].min() == pytest.approx(200 / 39.5)
    assert seen['z'].max() == pytest.approx(200 / 20.5)
    assert np.abs(seen['x']).max() <= 2 + 0.05


@pytest.mark.parametrize(
    ('x', 'y', 'faces'),
    [
        ((1, 3), (0, 1), {'left', 'top', 'front'}),
        ((-3, -1), (0, 1), {'right', 'top', 'front'}),
        ((-1, 1), (0, 3), {'front'}),
        ((-1, 1), (3, 4), {'bottom', 'front'}),
    ],
)
def test_a_cuboid_shows_the_faces_that_the_camera_sees(canvas, monkeypatch, x, y, faces):
    names = {('x', x[0]): 'left', ('x', x[1]): 'right', ('y', y[1]): 'top', ('y', y[0]): 'bottom', ('z', 8): 'front'}
    seen = set()
    monkeypatch.setattr(canvas, 'surface', lambda axis, value, *_, **__: seen.add(names[axis, value]))
    canvas.cuboid(x, y, (8, 12), 'near', RED)
    assert seen == faces
