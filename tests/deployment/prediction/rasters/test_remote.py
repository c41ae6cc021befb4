import rasterio

from projects.deployment.model_info import SEGMENTATION, ModelInfo
from projects.deployment.prediction.command import _local
from projects.deployment.prediction.image_files import find_inputs
from projects.deployment.prediction.prediction_files import PredictionSettings
from projects.deployment.prediction.rasters.settings import RasterSettings
from projects.deployment.prediction.run import predict_inputs
from projects.deployment.predictor import Predictor
from projects.geodata.remote_rasters import SourceChoice
from tests.deployment.prediction.rasters.test_run import Model
from tests.geodata.test_remote_rasters import item, server, write_cog  # noqa: F401 (a fixture)

INFO = ModelInfo(SEGMENTATION, ('ground', 'building'), ((0, 0, 0), (9, 0, 0)), (0, 0, 0), (1, 1, 1), threshold=0.5)
SETTINGS = PredictionSettings((), batch_size=4, rasters=RasterSettings(window_px=256, overlap_px=32))


def predict(inputs, out, source=None, resume=False):
    out.mkdir(exist_ok=True)
    files = find_inputs(_local(inputs, out, source), out)
    return predict_inputs(Predictor(Model(), INFO), files, out, SETTINGS, identity={'weights': 'a'}, resume=resume)


def test_a_server_that_dies_leaves_a_run_that_can_go_on(server, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr('projects.geodata.raster_data.sample_windows', lambda width, height: [(0, 0, 64, 64)])
    write_cog(server.folder / 'city.tif', 1024)
    expected = predict([str(server.folder / 'city.tif')], tmp_path / 'local').rasters['city']['probability']
    out, given = tmp_path / 'out', [f'{server.url}/city.tif']
    server.budget = server.sent + 2_000_000  # of 4.3 MB
    report = predict(given, out)
    ((path, reason),) = report.failed
    assert path.endswith('city.vrt')
    assert 'the server stopped answering' in reason
    assert '\n' not in reason
    assert not list((out / 'rasters').glob('*_probability.tif'))
    assert list((out / 'rasters/.city.partial').glob('strip_*.tif'))
    server.budget, before = None, server.sent
    report = predict(given, out, resume=True)
    assert not report.failed
    assert server.sent - before < 4_000_000  # finished strips are not read again
    with rasterio.open(report.rasters['city']['probability']) as found, rasterio.open(expected) as wanted:
        assert (found.read() == wanted.read()).all()
        assert found.transform == wanted.transform
    before = server.sent
    assert predict(given, out, resume=True).num_complete == 1
    assert server.sent - before < 100_000


def test_a_window_of_an_item_is_predicted_alone(server, tmp_path):  # noqa: F811
    write_cog(server.folder / 'city.tif')
    size = (server.folder / 'city.tif').stat().st_size
    item(server.folder, {'visual': {'href': 'city.tif', 'type': 'image/tiff'}})
    box = SourceChoice(bbox_deg=(15.0005, 45.1510, 15.0015, 45.1515))
    report = predict([f'{server.url}/item.json'], tmp_path / 'out', box)
    assert not report.failed
    assert server.sent < size / 4
    with rasterio.open(report.rasters['city']['probability']) as found:
        assert 100 < found.width < 200
        assert found.crs == 'EPSG:32633'
