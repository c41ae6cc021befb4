import importlib.util
import json
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config

from projects.building_extraction.preparation.scenes import tiles

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools/prepare_data.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('prepare_data', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SMALL = ('--city-m', '900', '--gsd-m', '1', '--tile-px', '64', '--source', '4', '--target', '2', '--val', '2')
SMALL += ('--test', '2', '--source-off-nadir-deg', '5', '15', '--processes', '1', '--out', 'set')


def test_scenes_writes_an_invented_city_in_any_folder(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tool.main(['scenes', *SMALL])
    printed = capsys.readouterr().out
    assert 'set/overview.png' in printed
    assert 'skyscraper' in printed
    parameters = json.loads((tmp_path / 'set/parameters.json').read_text())
    source, test = (parameters['domains'][name] for name in ('source', 'test'))
    assert (source['num_tiles'], source['off_nadir_deg'], source['label']) == (4, [5, 15], 'footprint')
    assert source['registration_error_m'] == 1.5
    assert (test['off_nadir_deg'], test['label'], test['registration_error_m']) == ([0, 10], 'roof', 0)
    assert len(list((tmp_path / 'set/target/masks').iterdir())) == 2


def test_errors_are_one_line_without_traceback(tool, tmp_path):
    with pytest.raises(SystemExit, match=r'^prepare_data scenes: .*nowhere\.gpkg'):
        tool.main(['scenes', '--footprints', str(tmp_path / 'nowhere.gpkg')])


def test_impossible_angles_are_named(tool, tmp_path):
    with pytest.raises(SystemExit, match=r'^prepare_data scenes: off_nadir_deg = \(40\.0, 10\.0\)'):
        tool.main(['scenes', '--out', str(tmp_path / 'set'), '--source-off-nadir-deg', '40', '10'])


def test_the_sun_is_that_of_latitude_dates_and_hours(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tool.main(['scenes', *SMALL, '--latitude', '55', '--sun-dates', '06-21', '06-21', '--sun-hours', '12', '12'])
    for image in json.loads((tmp_path / 'set/source/instances.json').read_text())['images']:
        assert image['sun_elevation_deg'] == pytest.approx(90 - 55 + 23.45, abs=0.1)
        assert image['sun_azimuth_deg'] == pytest.approx(180)
    with pytest.raises(SystemExit, match="'13-01' is no day of the year"):
        tool.main(['scenes', '--out', 'other', '--sun-dates', '13-01', '13-02'])


def test_layers_of_ground_go_with_footprints(tool, tmp_path):
    with pytest.raises(SystemExit, match='--roads and --vegetation go with --footprints'):
        tool.main(['scenes', '--out', str(tmp_path / 'set'), '--roads', 'roads.gpkg'])


class _PlannedError(Exception):
    pass


def test_the_ground_suffices_for_what_the_config_of_roofs_says_to_render(tool, tmp_path, monkeypatch):
    """All is laid out, and nothing rendered."""

    def stop(*_):
        raise _PlannedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tiles, '_renderer', stop)
    command = shlex.split(Config.fromfile(REPO / 'configs/_base_/datasets/roof_scenes.py').source)
    assert command.pop(0) == 'tools/prepare_data.py'
    with pytest.raises(_PlannedError):
        tool.main(command)
