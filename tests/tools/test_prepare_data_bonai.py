import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SPEC = importlib.util.spec_from_file_location('prepare_data', Path(__file__).parents[2] / 'tools/prepare_data.py')
TOOL = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(TOOL)


@pytest.fixture
def area(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ('labels/shanghai', 'images'):
        (tmp_path / folder).mkdir(parents=True)
    square = [10, 10, 20, 10, 20, 20, 10, 20]
    building = {'roof': square, 'footprint': square, 'offset': [0, 0], 'building_height': float('nan'), 'ignore': 0}
    (tmp_path / 'labels/shanghai/a.json').write_text(json.dumps({'annotations': [building]}))
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(tmp_path / 'images/a.png')
    return tmp_path


def test_bonai_joins_the_files_of_the_images(area, capsys):
    TOOL.main(['bonai', '--labels', 'labels', '--images', 'images', '--out', 'coco/all.json'])
    printed = capsys.readouterr().out.splitlines()
    assert 'unknown height  1' in printed
    assert printed[-2] == 'wrote      coco/all.json'
    assert 'configs/buildings/shvit_unet_bonai.py --cfg-options data_root=' in printed[-1]
    content = json.loads((area / 'coco/all.json').read_text())
    assert [image['file_name'] for image in content['images']] == ['a.png']
    assert content['annotations'][0]['building_height'] is None


@pytest.mark.usefixtures('area')
def test_errors_are_one_line():
    with pytest.raises(SystemExit, match=r'^prepare_data bonai: none of the 1 .*a\.json has no image of its name'):
        TOOL.main(['bonai', '--labels', 'labels', '--out', 'coco/all.json'])
    with pytest.raises(SystemExit):
        TOOL.main(['bonai', '--out', 'coco/all.json'])
