import json

import numpy as np
import pytest
from PIL import Image

from tests.processes import run_tool


def run(folder, *arguments):
    return run_tool('prepare_data.py', *arguments, cwd=folder)


@pytest.fixture
def area(tmp_path):
    """Five tiles in a row on the equator at zoom 10, with a square in each."""
    (tmp_path / 'tiles/10').mkdir(parents=True)
    features = []
    for x in range(520, 525):
        (tmp_path / f'tiles/10/{x}').mkdir()
        Image.fromarray(np.full((16, 16, 3), x % 256, dtype=np.uint8)).save(tmp_path / f'tiles/10/{x}/511.png')
        west = x / 1024 * 360 - 180
        ring = [[west + a, b] for a, b in ((0.1, 0.1), (0.25, 0.1), (0.25, 0.25), (0.1, 0.25), (0.1, 0.1))]
        features.append({'type': 'Feature', 'geometry': {'type': 'Polygon', 'coordinates': [ring]}})
    (tmp_path / 'labels.geojson').write_text(json.dumps({'type': 'FeatureCollection', 'features': features}))
    return tmp_path


GEOTILES = ('geotiles', '--tiles', 'tiles', '--labels', 'labels.geojson', '--out', 'set')


def test_geotiles_writes_a_set_from_any_folder(area):
    stated = '--label-license', 'ODbL 1.0'
    done = run(area, *GEOTILES, '--val-share', '0.4', '--min-area-px', '4', *stated)
    assert done.returncode == 0, done.stderr
    assert '5 used of 5 found' in done.stdout
    assert 'val        2 tiles (40.0%), 2 instances' in done.stdout
    assert 'set/overview.png' in done.stdout
    train = json.loads((area / 'set/annotations/train.json').read_text())
    assert len(train['images']) == len(train['annotations']) == 3
    assert '- **labels**: labels.geojson. Licence: ODbL 1.0\n' in (area / 'set/LICENSE.md').read_text()
    assert train['info']['arguments'] == {
        'tiles': 'tiles',
        'labels': 'labels.geojson',
        'val_share': 0.4,
        'block_zoom': None,
        'min_area_px': 4,
        'min_visible_share': 0.5,
        'max_bad_share': 0.05,
        'partition': None,
    }


def test_errors_are_one_line_without_traceback(area):
    for path in (area / 'tiles').rglob('*.png'):
        path.rename(path.with_name('photo.png'))
    done = run(area, *GEOTILES)
    assert done.returncode == 1
    assert done.stderr.startswith('prepare_data geotiles: no web-mercator tile in')
    assert 'Traceback' not in done.stderr
    assert not (area / 'set').exists()


def test_help_and_missing_arguments(area):
    done = run(area, 'geotiles', '--help')
    assert done.returncode == 0
    for option in (
        '--val-share',
        '--block-zoom',
        '--min-area-px',
        '--min-visible-share',
        '--max-bad-share',
        '--overwrite',
    ):
        assert option in done.stdout
    assert run(area).returncode == 2
    assert '--labels' in run(area, 'geotiles', '--tiles', 'tiles', '--out', 'set').stderr
