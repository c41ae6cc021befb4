import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import shapely

from projects.geodata.raster_files import write_geotiff
from projects.geodata.vector_files import geopandas, write_polygons

SPEC = importlib.util.spec_from_file_location('prepare_data', Path(__file__).parents[2] / 'tools/prepare_data.py')
TOOL = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(TOOL)


@pytest.fixture
def area(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (320, 320, 3), dtype=np.uint8)
    write_geotiff(tmp_path / 'city.tif', pixels, (0.5, 0, 500000, 0, -0.5, 5_000_000), 'EPSG:32633')
    corners = np.array([(500000 + 16 * x + 3, 5_000_000 - 16 * y - 12) for x in range(10) for y in range(10)])
    boxes = shapely.box(*corners.T, *(corners + 8).T)
    frame = geopandas.GeoDataFrame({'top': np.tile([10.0, 30.0], 50)}, geometry=boxes, crs='EPSG:32633')
    write_polygons(frame, tmp_path / 'labels.geojson')
    return tmp_path


GEOTIFF = ('geotiff', '--image', 'city.tif', '--labels', 'labels.geojson', '--out', 'set', '--tile-px', '32')


def test_geotiff_writes_a_set_with_displaced_labels(area, capsys):
    options = ('--height-column', 'top', '--shift-m', '1', '-2', '--off-nadir-deg', '10', '--azimuth-deg', '45')
    TOOL.main([*GEOTIFF, *options, '--val-share', '0.3', '--margin-m', '10'])
    printed = capsys.readouterr().out
    assert 'dropped' in printed
    assert 'set/overview.png' in printed
    assert re.search(r'train with \S+ configs/buildings/shvit_unet_tiles\.py --cfg-options data_root=\S*set/', printed)
    assert {path.name for path in (area / 'set').iterdir()} == {
        'train',
        'val',
        'test',
        'labels',
        'overview.png',
        'parameters.json',
        'LICENSE.md',
    }
    parameters = json.loads((area / 'set/parameters.json').read_text())
    assert parameters['settings']['displacement'] == {'shift_m': [1, -2], 'off_nadir_deg': 10, 'azimuth_deg': 45}
    assert parameters['settings']['blocks']['val_share'] == 0.3


@pytest.mark.usefixtures('area')
def test_errors_are_one_line():
    with pytest.raises(SystemExit, match=r'prepare_data geotiff: labels\.geojson has no column'):
        TOOL.main([*GEOTIFF, '--height-column', 'h'])
    with pytest.raises(SystemExit):
        TOOL.main(['geotiff', '--image', 'city.tif'])


@pytest.mark.usefixtures('area')
@pytest.mark.parametrize('images', [('city.tif', 'other.tif'), ('.',), ('*.tif',)], ids=str)
def test_several_images_are_refused_with_the_way_to_make_them_one(images, capsys):
    with pytest.raises(SystemExit) as stop:
        TOOL.main(['geotiff', '--image', *images, *GEOTIFF[3:]])
    assert stop.value.code == 2
    expected = '*.tif' if images == ('.',) else ' '.join(images)
    assert f'gdalbuildvrt all.vrt {expected}, then --image all.vrt' in capsys.readouterr().err
