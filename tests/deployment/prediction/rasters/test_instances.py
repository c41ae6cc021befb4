import json
from dataclasses import replace

import cv2
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio import Affine
from shapely.affinity import translate

from projects.deployment.model_info import DETECTION, INSTANCES, ModelInfo
from projects.deployment.prediction.image_files import find_inputs
from projects.deployment.prediction.journal import InputJournal
from projects.deployment.prediction.prediction_files import PredictionSettings
from projects.deployment.prediction.rasters.input_rasters import InputRasters
from projects.deployment.prediction.rasters.instances import RasterInstances, merge_instances, place_detections
from projects.deployment.prediction.rasters.prediction import predict_raster
from projects.deployment.prediction.rasters.settings import PolygonSettings, RasterSettings
from projects.deployment.prediction.rasters.windows import WindowAxis
from projects.deployment.predictions import Detections
from projects.deployment.predictor import Predictor

INFO = ModelInfo(INSTANCES, ('house', 'tree'), ((255, 0, 0), (0, 255, 0)), (0, 0, 0), (1, 1, 1))
BOXES_ONLY = replace(INFO, task=DETECTION)
SETTINGS = RasterSettings(window_px=128, overlap_px=48, batch_size=3)


class Blobs:
    """Finds red (house) and green (tree) rectangles in windows, cut at the border; the score tells how much it saw."""

    def __init__(self, info):
        self.info = info

    def __call__(self, images):
        boxes, labels, indices = [], [], []
        for index, image in enumerate(images):
            for label in range(2):
                count, _, stats, _ = cv2.connectedComponentsWithStats((image[..., label] > 100).astype(np.uint8))
                for left, top, width, height, _ in stats[1:count]:
                    boxes.append([left, top, left + width, top + height])
                    labels.append(label)
                    indices.append(index)
        boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        outputs = {'boxes': boxes, 'labels': np.array(labels, dtype=np.int64), 'scores': 1 - np.exp(-areas / 1000)}
        outputs['image_indices'] = np.array(indices, dtype=np.int64)
        if self.info.task == INSTANCES:
            outputs['masks'] = np.ones((len(boxes), 28, 28), dtype=np.float32)
        return outputs


def scatter(tmp_path, count=60, **profile):
    """Rectangles of up to 45 px that do not touch, and the image that shows them."""
    rng = np.random.default_rng(1)
    image = np.full((3, 500, 620), 20, np.uint8)
    taken = np.zeros((500, 620), dtype=bool)
    rectangles = []
    while len(rectangles) < count:
        width, height = rng.integers(12, 46, 2)
        left, top = rng.integers(0, 620 - width), rng.integers(0, 500 - height)
        around = np.s_[max(top - 3, 0) : top + height + 3, max(left - 3, 0) : left + width + 3]
        if not taken[around].any():
            taken[around] = True
            label = len(rectangles) % 2
            image[label, top : top + height, left : left + width] = 200
            rectangles.append((label, left, top, left + width, top + height))
    path = tmp_path / 'a.tif'
    profile = {'crs': 'EPSG:32633', 'transform': Affine(0.5, 0, 5e5, 0, -0.5, 5e6)} | profile
    with rasterio.open(path, 'w', driver='GTiff', count=3, height=500, width=620, dtype='uint8', **profile) as out:
        out.write(image)
    return path, sorted(rectangles)


@pytest.mark.parametrize('info', [INFO, BOXES_ONLY], ids=['masks', 'boxes'])
def test_each_object_is_found_once_and_whole(tmp_path, info):
    path, rectangles = scatter(tmp_path)
    result = predict_raster(Predictor(Blobs(info), info), path, tmp_path, SETTINGS)
    found = result.instances
    assert sorted(map(tuple, np.column_stack([found.labels, found.boxes]).tolist())) == rectangles
    assert (np.diff(found.scores) <= 0).all()
    assert not found.is_cut.any()
    shapes = shapely.box(*found.boxes.T)
    shared = shapely.area(shapely.intersection(shapes, found.polygons))
    assert (shared / shapely.area(shapely.union(shapes, found.polygons)) > 0.85).all()
    assert result.num_windows == 6 * 8


def test_objects_are_written_in_the_coordinates_of_the_raster(tmp_path):
    path, _ = scatter(tmp_path, 8, transform=Affine(0.5, 0.1, 5e5, 0.1, -0.5, 5e6))
    result = predict_raster(Predictor(Blobs(BOXES_ONLY), BOXES_ONLY), path, tmp_path, SETTINGS)
    table = pyogrio.read_dataframe(result.files['instances'])
    assert table.crs == 'EPSG:32633'
    assert sorted(table['class']) == ['house'] * 4 + ['tree'] * 4
    np.testing.assert_array_equal(table['score'], result.instances.scores)
    left, top = result.instances.boxes[0, :2]
    corner = Affine(0.5, 0.1, 5e5, 0.1, -0.5, 5e6) @ (left, top)
    assert table.geometry[0].distance(shapely.Point(corner)) < 1e-6
    again = predict_raster(Predictor(Blobs(BOXES_ONLY), BOXES_ONLY), path, tmp_path, SETTINGS, resume=True)
    np.testing.assert_array_equal(again.instances.boxes, result.instances.boxes)
    assert shapely.equals(again.instances.polygons, result.instances.polygons).all()


def test_without_coordinate_system_or_objects_there_is_no_geopackage_or_an_empty_one(tmp_path):
    path, rectangles = scatter(tmp_path, 5, crs=None)
    result = predict_raster(Predictor(Blobs(INFO), INFO), path, tmp_path, SETTINGS)
    assert (len(result.instances), result.files) == (len(rectangles), {})
    path, _ = scatter(tmp_path, 5)
    result = predict_raster(Predictor(Blobs(INFO), INFO), path, tmp_path, replace(SETTINGS, min_score=1.0))
    assert len(result.instances) == len(pyogrio.read_dataframe(result.files['instances'])) == 0


def test_objects_are_cut_at_pixels_without_data_and_left_out_beyond_them(tmp_path):
    path, rectangles = scatter(tmp_path)
    with rasterio.open(path, 'r+') as image:
        mask = np.full((500, 620), 255, np.uint8)
        mask[:, 300:] = 0
        image.write_mask(mask)
    found = predict_raster(Predictor(Blobs(INFO), INFO), path, tmp_path, SETTINGS).instances
    assert len(found) == sum(left < 300 for _, left, *_ in rectangles)
    assert shapely.bounds(found.polygons)[:, 2].max() <= 300


class Leaning(Blobs):
    """Says of each rectangle, which is a roof, how far it lies from its footprint: always as far."""

    def __call__(self, images):
        outputs = super().__call__(images)
        number = len(outputs['scores'])
        outputs['offsets'] = np.tile(np.float32([12, -30]), (number, 1))
        return outputs | {'heights': np.full(number, 20, np.float32)}


@pytest.mark.parametrize('placed', [Affine(0.5, 0, 5e5, 0, -0.5, 5e6), Affine(0.5, 0.1, 5e5, 0.1, -0.5, 5e6)])
def test_footprints_are_whole_roofs_moved_beyond_windows_and_the_raster(tmp_path, placed):
    path, rectangles = scatter(tmp_path, transform=placed)
    polygons = PolygonSettings('gpkg')
    result = predict_raster(Predictor(Leaning(INFO), INFO), path, tmp_path, SETTINGS, polygons=polygons)
    assert len(result.instances) == len(rectangles)
    np.testing.assert_array_equal(result.instances.offsets, [[12, -30]] * len(rectangles))
    roofs, footprints = (pyogrio.read_dataframe(result.files[name]) for name in ('instances', 'footprints'))
    east, north = np.subtract(placed @ (12, -30), placed @ (0, 0))
    for table in (roofs, footprints):
        np.testing.assert_allclose(table[['offset_x', 'offset_y']], [[east, north]] * len(rectangles))
        assert (table['height_m'] == 20).all()
    for roof, footprint in zip(roofs.geometry, footprints.geometry, strict=True):
        assert shapely.equals_exact(translate(footprint, east, north), roof, 1e-6)
    assert not shapely.box(*roofs.total_bounds).contains(shapely.box(*footprints.total_bounds))  # nothing is clipped
    np.testing.assert_array_equal(result.polygons()['height_m'], roofs['height_m'])
    again = predict_raster(Predictor(Leaning(INFO), INFO), path, tmp_path, SETTINGS, resume=True)
    np.testing.assert_array_equal(again.instances.offsets, result.instances.offsets)


@pytest.mark.parametrize('suffix', ['gpkg', 'geojson'])
def test_polygons_of_roofs_have_a_file_of_footprints_beside_them(tmp_path, suffix):
    path, rectangles = scatter(tmp_path)
    settings = PredictionSettings((), rasters=SETTINGS, polygons=PolygonSettings(suffix, min_area_m2=80))
    journal = InputJournal(tmp_path / 'out')
    journal.begin({}, resume=False)
    rasters = InputRasters(Predictor(Leaning(INFO), INFO), journal, settings, False, '')
    (file,) = find_inputs([path])
    rasters.predict(file, 0)
    assert rasters.failed == {}
    names = (f'a.{suffix}', f'a_footprints.{suffix}')
    roofs, footprints = (pyogrio.read_dataframe(tmp_path / 'out/polygons' / name) for name in names)
    assert 0 < len(roofs) == len(footprints) < len(rectangles)
    assert (roofs['height_m'] == 20).all()
    meters = [table.to_crs('EPSG:32633').geometry for table in (roofs, footprints)]
    for roof, footprint in zip(*meters, strict=True):
        assert shapely.equals_exact(translate(footprint, 6, 15), roof, 1e-3)  # 12 px east, 30 px north of half a metre


def test_without_offsets_there_are_no_footprints(tmp_path):
    path, _ = scatter(tmp_path, 5)
    result = predict_raster(Predictor(Blobs(INFO), INFO), path, tmp_path, SETTINGS)
    assert list(result.files) == ['instances']
    assert set(pyogrio.read_dataframe(result.files['instances']).columns) == {'class', 'score', 'geometry'}


def instances(boxes, scores, labels, windows, is_cut):
    boxes = np.array(boxes, dtype=float)
    arrays = (scores, np.array(labels), shapely.box(*boxes.T), np.array(windows), np.array(is_cut, dtype=bool))
    unknown = np.full((len(boxes), 2), np.nan), np.full(len(boxes), np.nan)
    return RasterInstances(boxes, np.array(arrays[0], dtype=float), *arrays[1:], *unknown)


def test_of_two_windows_the_whole_object_is_kept_and_not_its_part():
    boxes = [[0, 0, 10, 10], [0, 0, 5, 10], [1, 0, 11, 10], [0, 0, 10, 10], [20, 0, 30, 10], [20, 0, 25, 10]]
    merged = merge_instances(
        instances(boxes, [0.5, 0.9, 0.6, 0.4, 0.8, 0.7], [0, 0, 0, 1, 0, 0], [1, 2, 2, 2, 3, 3], [0, 1, 0, 0, 0, 1])
    )
    # of class 0 the better of two equal ones; class 1 apart; what one window says of an object and its part is left
    assert merged.boxes.tolist() == [boxes[4], boxes[5], boxes[2], boxes[3]]
    uncut = merge_instances(instances(boxes[:2], [0.5, 0.9], [0, 0], [1, 2], [False, False]))
    assert len(uncut) == 2


def test_records_bring_instances_back():
    found = instances([[0, 0, 10, 10], [2.5, 0, 5, 10]], [0.5, 0.9], [0, 1], [1, 2], [True, False])
    back = RasterInstances.from_record(found.to_record())
    for name in ('boxes', 'scores', 'labels', 'windows', 'is_cut', 'offsets', 'heights_m'):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
    tall = replace(found, offsets=np.array([[3.5, -2], [0, 1]]), heights_m=np.array([12.5, 3]))
    record = json.loads(json.dumps(tall.to_record(), allow_nan=False))
    np.testing.assert_array_equal(RasterInstances.from_record(record).offsets, tall.offsets)
    np.testing.assert_array_equal(RasterInstances.from_record(record).heights_m, tall.heights_m)
    earlier = {name: values for name, values in found.to_record().items() if name not in ('offsets', 'heights_m')}
    assert np.isnan(RasterInstances.from_record(earlier).offsets).all()
    assert len(RasterInstances.concatenate([])) == len(merge_instances(RasterInstances.concatenate([]))) == 0


def test_a_window_leaves_objects_beyond_its_seams_to_its_neighbors():
    axis = WindowAxis(288, 128, 48)  # windows from 0, 80 and 160; seams at 104 and 184
    boxes = np.array([[10, 60, 50, 100], [30, 60, 60, 90], [90, 60, 128, 100]], dtype=np.float32)

    def place(column, shift=0):
        moved = boxes - np.array([shift, 0, shift, 0], dtype=np.float32)
        detections = Detections(moved, np.array([0.9, 0.8, 0.7]), np.array([0, 1, 0]))
        return place_detections(detections, np.ones((128, 128), dtype=bool), axis, axis, (1, column), BOXES_ONLY)

    middle = place(1)
    assert middle.boxes.tolist() == [[90, 140, 130, 180], [110, 140, 140, 170], [170, 140, 208, 180]]
    assert middle.is_cut.tolist() == [False, False, True]
    right = place(2)
    assert right.boxes[:, 0].tolist() == [170, 190, 250]
    assert not right.is_cut.any()  # the raster ends there
    assert place(2, 10).is_cut.tolist() == [True, False, False]
    assert place(2, 40).boxes[:, 0].tolist() == [160, 210]  # the first one's centre, 165, is 19 px beyond the seam
