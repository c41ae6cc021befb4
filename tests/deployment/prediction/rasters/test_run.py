import json
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import rasterio

from projects.deployment.model_info import SEGMENTATION, ModelInfo
from projects.deployment.prediction.rasters.prediction import predict_raster
from projects.deployment.prediction.rasters.settings import PolygonSettings, RasterSettings
from projects.deployment.predictor import Predictor
from projects.geodata.polygons.files import vectorize_raster
from projects.geodata.polygons.vectorization import VectorizationSettings
from tests.processes import call_in_clean_processes, fork

INFO = ModelInfo(SEGMENTATION, ('ground', 'building'), ((0, 0, 0), (9, 0, 0)), (0, 0, 0), (1, 1, 1), threshold=0.5)
SETTINGS = RasterSettings(window_px=64, overlap_px=16, probability_dtype='float32')


class Model:
    """Probabilities that depend on where a pixel lies in its window, so that seams are seen; may fail, or be slow."""

    def __init__(self, fail_at=None, seconds=0.0, error=RuntimeError):
        self.fail_at, self.error, self.seconds, self.calls = fail_at, error, seconds, 0

    def __call__(self, images):
        self.calls += 1
        time.sleep(self.seconds)
        if self.calls == self.fail_at:
            raise self.error('out of memory')
        height, width = images.shape[1:3]
        tilt = np.linspace(0, 0.5, height)[:, None] * np.linspace(0, 1, width)
        return {'probabilities': (images.mean(axis=3) / 510 + tilt)[:, None].astype(np.float32)}


def write_image(folder):
    path = folder / 'a.tif'
    bands = np.random.default_rng(0).integers(1, 255, (3, 400, 300)).astype(np.uint8)
    profile = {
        'height': 400,
        'width': 300,
        'crs': 'EPSG:32633',
        'transform': rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
    }
    with rasterio.open(path, 'w', driver='GTiff', count=3, dtype='uint8', **profile) as out:
        out.write(bands)
    return path


@pytest.fixture
def image(tmp_path):
    return write_image(tmp_path)


def outlines(polygons):
    return sorted(polygons.geometry.normalize().to_wkb(hex=True))


def share_work(folder, rank):
    os.environ['RANK'] = str(rank)
    model = Model()
    asked = {'polygons': PolygonSettings()}
    result = predict_raster(Predictor(model, INFO), folder / 'a.tif', folder / 'shared', SETTINGS, **asked)
    if result is not None:
        (folder / 'polygons.json').write_text(json.dumps(outlines(result.polygons())))
    with pytest.raises(
        (OSError, ValueError), match=r'^out of memory$' if rank else 'another process failed: out of memory'
    ):
        predict_raster(
            Predictor(Model(1 if rank else None, error=OSError), INFO),
            folder / 'a.tif',
            folder / 'failed',
            SETTINGS,
        )
    (folder / f'{rank}.json').write_text(json.dumps([model.calls, result is None]))


def work_in_other_processes(folder):
    """Predict in one process that is killed, and in two that share the work; neither imports anything."""
    predict = partial(predict_raster, Predictor(Model(seconds=0.1), INFO), folder / 'a.tif', folder / 'killed')
    killed = fork(predict, SETTINGS)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    os.environ |= {'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port}
    sharing = [fork(share_work, folder, rank) for rank in (0, 1)]
    while (
        not (folder / 'killed/.a.partial/strip_000003_probability.tif').exists()
        and not os.waitpid(killed, os.WNOHANG)[0]
    ):
        time.sleep(0.02)
    os.kill(killed, signal.SIGKILL)
    assert [os.waitpid(process, 0)[1] for process in (killed, *sharing)] == [signal.SIGKILL, 0, 0]


@pytest.fixture(scope='module')
def other_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('processes')
    write_image(folder)
    for name in ('killed', 'shared', 'failed', 'whole'):
        (folder / name).mkdir()
    call_in_clean_processes(work_in_other_processes, (folder,))  # not forked from here: GDAL may have threads already
    return folder


def read(path):
    with rasterio.open(path) as source:
        return source.read(), source.dataset_mask()


def uninterrupted(image, tmp_path):
    folder = tmp_path / 'whole'
    folder.mkdir()
    return read(predict_raster(Predictor(Model(), INFO), image, folder, SETTINGS).files['probability'])


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_failed_continues_to_the_same_pixels(image, tmp_path):
    expected = uninterrupted(image, tmp_path)
    for fail_at in (1, 6, 9):
        out = tmp_path / f'out{fail_at}'
        out.mkdir()
        with pytest.raises(RuntimeError, match='out of memory'):
            predict_raster(Predictor(Model(fail_at), INFO), image, out, SETTINGS)
        assert [file.name for file in out.iterdir()] == ['.a.partial']
        model = Model()
        result = predict_raster(Predictor(model, INFO), image, out, SETTINGS, resume=True)
        assert_equal(read(result.files['probability']), expected)
        finished = (fail_at - 1) // 2  # rows; two batches each
        assert model.calls == 2 * (8 - finished) + (2 if finished else 0)  # once more the row above the first
        assert sorted(file.name for file in out.iterdir()) == ['a_prediction.json', 'a_probability.tif']


def test_nothing_reads_an_image_that_a_failed_run_has_closed(image, tmp_path):
    """A read of a closed image ends the process; threads that go on reading did so, in whatever came next."""
    with pytest.raises(RuntimeError, match='out of memory') as failure:  # holds the frames in which it was raised
        predict_raster(Predictor(Model(3), INFO), image, tmp_path, SETTINGS)
    assert failure.traceback
    assert [thread for thread in threading.enumerate() if thread.name.startswith(('read ahead', 'writer'))] == []


def test_a_killed_process_continues_to_the_same_pixels(other_processes):
    image, folder = other_processes / 'a.tif', other_processes / 'killed'
    assert not (folder / 'a_probability.tif').exists()
    model = Model()
    result = predict_raster(Predictor(model, INFO), image, folder, SETTINGS, resume=True)
    whole = predict_raster(Predictor(Model(), INFO), image, other_processes / 'whole', SETTINGS)
    assert_equal(read(result.files['probability']), read(whole.files['probability']))
    assert model.calls < 2 * 8


def test_a_run_is_continued_with_the_same_image_model_and_settings_alone(image, tmp_path):
    with pytest.raises(RuntimeError):
        predict_raster(Predictor(Model(6), INFO), image, tmp_path, SETTINGS, model_id='abc')
    with pytest.raises(ValueError, match=r'2 finished strips.*--resume'):
        predict_raster(Predictor(Model(), INFO), image, tmp_path, SETTINGS, model_id='abc')
    with pytest.raises(ValueError, match=r'settings\.overlap_px: 16 before, 8 now'):
        predict_raster(
            Predictor(Model(), INFO), image, tmp_path, replace(SETTINGS, overlap_px=8), resume=True, model_id='abc'
        )
    with pytest.raises(ValueError, match=r"model\.id: 'abc' before, 'xyz' now"):
        predict_raster(Predictor(Model(), INFO), image, tmp_path, SETTINGS, resume=True, model_id='xyz')
    os.utime(image, (0, 0))
    with pytest.raises(ValueError, match=r'image\.modified_ns'):
        predict_raster(Predictor(Model(), INFO), image, tmp_path, SETTINGS, resume=True, model_id='abc')


def test_a_finished_run_is_not_repeated(image, tmp_path):
    first = predict_raster(Predictor(Model(), INFO), image, tmp_path, SETTINGS)
    model = Model()
    assert predict_raster(Predictor(model, INFO), image, tmp_path, SETTINGS, resume=True) == first
    assert not model.calls
    with pytest.raises(ValueError, match='another run'):
        predict_raster(Predictor(model, INFO), image, tmp_path, replace(SETTINGS, batch_size=2), resume=True)
    assert predict_raster(Predictor(model, INFO), image, tmp_path, replace(SETTINGS, batch_size=2)).num_windows == 48
    assert model.calls == 24


def test_two_processes_do_not_write_the_same_result(image, tmp_path):
    class Nested(Model):
        def __call__(self, images):
            if not self.calls:
                with pytest.raises(FileExistsError, match='another process is writing'):
                    predict_raster(Predictor(Model(), INFO), image, tmp_path, SETTINGS)
            return super().__call__(images)

    predict_raster(Predictor(Nested(), INFO), image, tmp_path, SETTINGS)


def test_processes_share_the_strips_without_seams(other_processes, tmp_path):
    whole = predict_raster(Predictor(Model(), INFO), other_processes / 'a.tif', tmp_path, SETTINGS)
    assert_equal(read(other_processes / 'shared/a_probability.tif'), read(whole.files['probability']))
    found = vectorize_raster(other_processes / 'shared/a_probability.tif', VectorizationSettings())
    assert json.loads((other_processes / 'polygons.json').read_text()) == outlines(found)
    assert len(found) > 100
    assert json.loads((other_processes / '0.json').read_text()) == [2 * 4, False]
    assert json.loads((other_processes / '1.json').read_text()) == [2 * 5, True]  # the row above its first one, too


def test_what_fails_in_one_process_fails_in_all(other_processes):
    assert [file.name for file in (other_processes / 'failed').iterdir()] == ['.a.partial']
