import numpy as np
import shapely
from scipy import ndimage

from projects.geodata.polygons.vectorization import VectorizationSettings, vectorize

UTM, PLACE = 'EPSG:32633', (0.5, 0, 500_000, 0, -0.5, 5_000_000)


def rotated_rectangle(size, half, angle_deg):
    rows, columns = np.mgrid[:size, :size] + 0.5 - size / 2
    angle = np.radians(angle_deg)
    along, across = columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)
    return (abs(along) <= half[0]) & (abs(across) <= half[1])


def test_right_angles_agree_with_rotated_rectangles():
    for angle_deg in range(0, 90, 10):
        mask = rotated_rectangle(120, (45, 22), angle_deg)
        truth = shapely.affinity.rotate(shapely.box(-45, -22, 45, 22), -angle_deg, origin=(0, 0))
        truth = shapely.affinity.affine_transform(truth, (0.5, 0, 0, 0.5, 500_030, 4_999_970))
        frame = vectorize(mask, PLACE, UTM, VectorizationSettings(regularise=True))
        polygon = frame.geometry[0]
        iou = polygon.intersection(truth).area / polygon.union(truth).area
        assert iou > 0.96
        points = np.asarray(polygon.exterior.coords)
        assert len(points) == 5
        edges = np.diff(points, axis=0)
        edges /= np.linalg.norm(edges, axis=1, keepdims=True)
        np.testing.assert_allclose((edges * np.roll(edges, 1, axis=0)).sum(axis=1), 0, atol=0.01)


def test_regularized_shapes_stay_valid_and_near():
    mask = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(200, 200)), 4) > 0.005
    plain, regular = (
        vectorize(mask, PLACE, UTM, VectorizationSettings(min_area_m2=1, regularise=choice)) for choice in (False, True)
    )
    assert regular.is_valid.all()
    assert len(regular) == len(plain)
    shared = plain.geometry.intersection(regular.geometry).area / plain.geometry.union(regular.geometry).area
    assert shared.min() >= 0.8 - 1e-6
