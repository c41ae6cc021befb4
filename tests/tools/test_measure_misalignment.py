import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from projects.geodata.raster_files import rasterise, write_geotiff
from projects.geodata.vector_files import geopandas, write_polygons

SPEC = importlib.util.spec_from_file_location(
    'measure_misalignment', Path(__file__).parents[2] / 'tools/measure_misalignment.py'
)
TOOL = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(TOOL)


@pytest.fixture
def area(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 10, (30, 2)) + np.array(
        [(500000 + x * 40, 5_000_000 + y * 40) for x in range(6) for y in range(5)]
    )
    sides = rng.uniform(8, 20, (30, 2))
    boxes = shapely.box(*corners.T, *(corners + sides).T)
    clean = geopandas.GeoDataFrame({'height': rng.uniform(3, 50, 30)}, geometry=boxes, crs='EPSG:32633')
    write_polygons(clean, tmp_path / 'clean.gpkg')
    write_polygons(clean.assign(geometry=clean.translate(3, -4)), tmp_path / 'labels.gpkg')
    transform = (0.5, 0, 499980, 0, -0.5, 5_000_220)
    write_geotiff(
        tmp_path / 'mask.tif', rasterise(boxes, np.ones(30, int), (560, 480), transform, np.uint8), transform, clean.crs
    )
    return tmp_path


@pytest.mark.parametrize('reference', [('--reference', 'clean.gpkg'), ('--prediction', 'mask.tif')])
def test_displacement_is_printed_and_written(area, reference, capsys):
    TOOL.main(['--labels', 'labels.gpkg', *reference, '--height-column', 'height', '--out', 'report'])
    assert 'mid-rise' in capsys.readouterr().out
    content = json.loads((area / 'report/misalignment.json').read_text())
    assert content['classes']['all']['median_m'] == pytest.approx(5, abs=0.25)
    assert content['classes']['all']['median_px'] == pytest.approx(10, abs=0.5)
    assert content['classes']['all']['mean_east_m'] == pytest.approx(3, abs=0.25)
    assert content['lean']['off_nadir_deg'] < 1
    assert {path.name for path in (area / 'report').iterdir()} == {'misalignment.json', 'misalignment.png'}


def test_of_a_mask_of_0_1_and_255_the_last_is_ignored_and_other_values_are_said_or_refused(area, capsys):
    with rasterio.open('mask.tif') as source:
        mask, transform, crs = source.read(1), source.transform, source.crs
    mask[:120] = 255  # the northernmost 60 m, where the last of five rows of houses is
    write_geotiff(area / 'ignored.tif', mask, transform, crs)
    TOOL.main(['--labels', 'labels.gpkg', '--prediction', 'ignored.tif', '--out', 'report'])
    row = json.loads((area / 'report/misalignment.json').read_text())['classes']['all']
    assert (row['mean_east_m'], row['mean_north_m']) == pytest.approx((3, -4), abs=0.1)
    assert row['unmatched_share'] == pytest.approx(6 / 30, abs=0.04)
    write_geotiff(area / 'percent.tif', np.where(mask == 255, 0, mask * np.uint8(90)), transform, crs)
    arguments = ['--labels', 'labels.gpkg', '--prediction', 'percent.tif', '--out', 'report']
    with pytest.raises(SystemExit, match='may mean several things; say what they mean with --values'):
        TOOL.main(arguments)
    TOOL.main([*arguments, '--values', 'percent'])
    assert 'shift: 3.0' in capsys.readouterr().out


@pytest.mark.usefixtures('area')
def test_errors_are_one_line():
    arguments = ['--labels', 'labels.gpkg', '--reference', 'clean.gpkg', '--height-column', 'h', '--out', 'report']
    with pytest.raises(SystemExit, match=r"measure_misalignment: .*no column 'h'; its columns are 'height'"):
        TOOL.main(arguments)
    with pytest.raises(SystemExit):
        TOOL.main(['--labels', 'labels.gpkg', '--out', 'report'])
