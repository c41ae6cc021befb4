"""Real tiles of a study: generated stand-ins everywhere, those of Banepa where they are at hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.building_extraction.height_classes import HeightClasses
from projects.building_extraction.preparation.web_mercator import Tile, to_lon_lat_deg
from projects.building_extraction.transfer_study.study_file import read_study
from projects.building_extraction.transfer_study.tile_sets import tile_source

CONFIGS = Path(__file__).parents[3] / 'configs' / 'buildings'
ORIGIN, SIDE = Tile(19, 386690, 220241), 64


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Two columns and six rows of map tiles with a house each, and how a study names them."""
    folder = tmp_path_factory.mktemp('real')
    (folder / 'tiles').mkdir()
    features = []
    for x in range(2):
        for y in range(6):
            image = Image.fromarray(np.full((SIDE, SIDE, 3), (40 * x, 30 * y, 90), np.uint8))
            image.save(folder / f'tiles/OAM-{ORIGIN.x + x}-{ORIGIN.y + y}-19.jpg', quality=95)
            corners = np.array([(10, 10), (40, 10), (40, 30), (10, 30), (10, 10)]) / SIDE
            grid = (corners + np.array([ORIGIN.x + x, ORIGIN.y + y])) / 2**19
            outline = {'type': 'Polygon', 'coordinates': [to_lon_lat_deg(grid).tolist()]}
            features.append({'type': 'Feature', 'geometry': outline})
    (folder / 'labels.geojson').write_text(json.dumps({'type': 'FeatureCollection', 'features': features}))
    return {
        'type': 'RealTiles',
        'tiles': str(folder / 'tiles'),
        'labels': str(folder / 'labels.geojson'),
        'city': {'otherwise': {'size_m': 300, 'seed': 0, 'pattern': 'dense'}},
        'source': {'num_tiles': 3, 'label': 'roof', 'style': 'dense'},
        'gsd_m': 0.5,
        'tile_px': 64,
        'num_strips': 3,
    }


def test_each_replicate_has_ground_and_scenes_of_its_own(data, tmp_path):
    source = tile_source(data)
    tests, scenes = [], []
    for replicate in range(3):
        root = source.prepare(replicate, tmp_path / str(replicate), HeightClasses())
        names = {
            split: {path.stem for path in (root / split / 'images').iterdir()} for split in ('target', 'val', 'test')
        }
        assert [len(names[split]) for split in ('target', 'val', 'test')] == [6, 2, 4]
        for split in ('source', 'target', 'val', 'test'):
            for image in (root / split / 'images').iterdir():
                assert (root / split / 'masks' / f'{image.stem}.png').is_file()
            assert json.loads((root / split / 'instances.json').read_text())['annotations']
            labels = 'an invented city' if split == 'source' else data['labels']
            assert Path(labels).name in (root / split / 'LICENSE.md').read_text()
        tests.append(names['test'])
        scenes.append((root / 'source/images/source_00000.png').read_bytes())
        assert {path.name for path in root.iterdir()} == {'source', 'target', 'val', 'test', 'parameters.json'}
    assert len(set.union(*tests)) == 12
    assert len(set(scenes)) == 3
    assert source.describe().endswith('scenes of procedural city of 300 m, seed 0, dense')


def test_a_set_that_is_there_is_kept_and_another_one_is_not_taken_for_it(data, tmp_path):
    root = tile_source(data).prepare(0, tmp_path / 'set', HeightClasses())
    before = (root / 'parameters.json').stat().st_mtime_ns
    assert tile_source(data).prepare(0, root, HeightClasses()) == root
    assert (root / 'parameters.json').stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r'made with other parameters: gsd_m: 0.5 before, 0.4 now; delete it'):
        tile_source(data | {'gsd_m': 0.4}).prepare(0, root, HeightClasses())


def test_tiles_that_are_not_there_say_where_they_are_from(data, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere does not exist; data/README\.md says where'):
        tile_source(data | {'tiles': str(tmp_path / 'nowhere')}).prepare(0, tmp_path / 'set', HeightClasses())
    assert not (tmp_path / 'set').exists()


def test_unknown_fields_are_refused(data):
    with pytest.raises(ValueError, match=r"data: unknown keys \['strips'\]"):
        tile_source(data | {'strips': 4})


@pytest.mark.parametrize(('name', 'steps'), [('study_real', 240), ('study_realgpu', 3000)])
def test_methods_of_the_real_studies_have_as_many_steps_in_all(name, steps):
    study = read_study(CONFIGS / f'{name}.py')
    totals = {method: study.total_steps(method) for method in study.methods}
    assert {method for method, total in totals.items() if total != steps} == {'scenes', 'teacher'}
    assert totals['teacher'] == steps / 2
    assert {Path(method['config']).name for method in study.methods.values()} == {'efficientnet_lite0_unet_drone.py'}
    strips = study.data['num_strips']
    assert study.replicates % strips == 0 or study.replicates == strips - 1  # as often on each, or the last is tuning's
