import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely

from projects.building_extraction.misalignment.files import measure_files
from projects.building_extraction.misalignment.measurement import MisalignmentSettings
from projects.geodata.raster_files import rasterize, write_geotiff
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
        tmp_path / 'mask.tif', rasterize(boxes, np.ones(30, int), (560, 480), transform, np.uint8), transform, clean.crs
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


SITE = 'LOCAL_CS["site grid",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'


def write_as(path, source, crs):
    """The coordinates of a file under another coordinate system, or none."""
    geopandas.read_file(source).set_crs(crs, allow_override=True).to_file(path)


def measured(**options):
    return measure_files(Path('l.gpkg'), MisalignmentSettings(), **options).trend.shift_m


@pytest.mark.filterwarnings('ignore:.*crs.*was not provided')
@pytest.mark.parametrize('labels', ['EPSG:32633', None, SITE])
@pytest.mark.parametrize('reference', ['EPSG:32633', None, SITE, 'degrees by default'])
@pytest.mark.usefixtures('area')
def test_a_system_that_is_assumed_is_that_of_whichever_file_states_none(labels, reference):
    write_as('l.gpkg', 'labels.gpkg', labels)
    path = Path('r.geojson' if reference == 'degrees by default' else 'r.gpkg')
    if path.suffix == '.geojson':
        content = json.loads(geopandas.read_file('clean.gpkg').set_crs(None, allow_override=True).to_json())
        path.write_text(json.dumps({key: content[key] for key in ('type', 'features')}))
    else:
        write_as(path, 'clean.gpkg', reference)
    assert measured(reference_path=path, assume_crs='EPSG:32633') == pytest.approx((3, -4), abs=0.01)
    is_local = labels == SITE and reference in (None, 'degrees by default')  # what states none is taken to be in it
    if is_local or (labels == reference and labels is not None):
        assert measured(reference_path=path) == pytest.approx((3, -4), abs=0.01)
    else:
        with pytest.raises(ValueError, match=r'states no coordinate system|nothing ties .* to the Earth|no degrees'):
            measured(reference_path=path)


@pytest.mark.usefixtures('area')
def test_a_mask_in_a_local_system_and_one_in_degrees_are_measured_against(area):
    with rasterio.open('mask.tif') as source:
        mask, transform = source.read(1), source.transform
    write_as('l.gpkg', 'labels.gpkg', SITE)
    write_geotiff(area / 'site.tif', mask, transform, SITE)
    assert measured(prediction_path=area / 'site.tif') == pytest.approx((3, -4), abs=0.05)
    with pytest.raises(ValueError, match="nothing ties 'site grid' to the Earth"):
        measured(prediction_path=area / 'mask.tif')
    assert measured(prediction_path=area / 'mask.tif', assume_crs='EPSG:32633') == pytest.approx((3, -4), abs=0.05)
    sides = 560, 480, 499980, 4_999_980, 500260, 5_000_220
    to = rasterio.warp.calculate_default_transform('EPSG:32633', 'EPSG:4326', *sides)
    degrees = np.zeros(to[:0:-1], np.uint8)
    places = {'src_transform': transform, 'src_crs': 'EPSG:32633', 'dst_transform': to[0], 'dst_crs': 'EPSG:4326'}
    rasterio.warp.reproject(mask, degrees, **places)
    write_geotiff(area / 'degrees.tif', degrees, to[0], 'EPSG:4326')
    write_as('l.gpkg', 'labels.gpkg', 'EPSG:32633')
    assert measured(prediction_path=area / 'degrees.tif') == pytest.approx((3, -4), abs=0.1)


@pytest.mark.usefixtures('area')
def test_a_reference_elsewhere_is_an_error_that_says_where():
    frame = geopandas.read_file('clean.gpkg')
    frame.assign(geometry=frame.translate(50_000)).to_file('far.gpkg')
    arguments = ['--labels', 'labels.gpkg', '--reference', 'far.gpkg', '--out', 'report']
    with pytest.raises(SystemExit, match=r'no building of far.gpkg lies in the area .*longitude 15\.6'):
        TOOL.main(arguments)


@pytest.mark.usefixtures('area')
def test_errors_are_one_line():
    arguments = ['--labels', 'labels.gpkg', '--reference', 'clean.gpkg', '--height-column', 'h', '--out', 'report']
    with pytest.raises(SystemExit, match=r"measure_misalignment: .*no column 'h'; its columns are 'height'"):
        TOOL.main(arguments)
    Path('none.geojson').write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(SystemExit, match=r'measure_misalignment: none\.geojson holds no features'):
        TOOL.main(['--labels', 'none.geojson', '--reference', 'clean.gpkg', '--out', 'report'])
    with pytest.raises(SystemExit):
        TOOL.main(['--labels', 'labels.gpkg', '--out', 'report'])


def test_the_option_that_names_a_layer_of_the_reference_is_its_own(area, capsys):
    clean = geopandas.read_file('clean.gpkg')
    for layer in ('roofs', 'footprints'):
        clean.to_file(area / 'several.gpkg', layer=layer)
    for arguments, option in (
        (('--labels', 'labels.gpkg', '--reference', 'several.gpkg'), '--reference-layer'),
        (('--labels', 'several.gpkg', '--reference', 'clean.gpkg'), '--layer'),
    ):
        with pytest.raises(SystemExit, match=f'holds the buildings with {option}: .*roofs'):
            TOOL.main([*arguments, '--out', 'report'])
