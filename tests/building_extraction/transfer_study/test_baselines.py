"""All building, none and a threshold on brightness, scored by the same evaluator on the same tiles."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from projects.building_extraction.transfer_study.baselines import brightness_range, score_baselines
from projects.building_extraction.transfer_study.study_file import read_study
from projects.training.config import ROOT, load_config

STUDY = f"""
_base_ = '{ROOT}/configs/buildings/study_sample.py'
target_tiles = None
"""
SEEN = ('img_path', 'ori_shape', 'img_shape', 'scale_factor', 'building_ids', 'building_heights_m')
HALVED = [
    {'type': 'LoadAerialImage'},
    {'type': 'Resize', 'scale_factor': 0.5, 'keep_ratio': True},
    {'type': 'LoadBuildingMask'},
    {'type': 'LoadBuildings'},
    {'type': 'PackSegInputs', 'meta_keys': SEEN},
]


@pytest.fixture
def tile_set(tmp_path):
    """Bright buildings (200) on dark ground (50) in the target; in the test one of two buildings is dark."""
    for split, dark in (('source', 0), ('target', 0), ('val', 0), ('test', 8)):
        image, mask = np.full((16, 32, 3), 50, np.uint8), np.zeros((16, 32), np.uint8)
        for left in (0, 16):
            mask[4:12, left : left + 8] = 255
            image[4:12, left : left + 8] = 200 if not dark or left == 0 else 50
        mask[:, 30:] = 127
        for kind, array in (('images', image), ('masks', mask)):
            (tmp_path / 'tiles' / split / kind).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / 'tiles' / split / kind / 't.png'), array)
    return tmp_path / 'tiles'


@pytest.fixture
def study(tmp_path):
    (tmp_path / 'study.py').write_text(STUDY)
    return read_study(tmp_path / 'study.py')


def test_baselines_leave_results_as_runs_do(study, tile_set, tmp_path):
    runs = tmp_path / 'runs'
    score_baselines(study, tile_set, runs, 3)
    results = {name: json.loads((runs / f'main_{name}_r3' / 'result.json').read_text()) for name in
               ('everything', 'nothing', 'brightness')}  # fmt: skip
    f1 = {name: result['scores']['overall']['f1'] for name, result in results.items()}
    assert f1 == pytest.approx({'everything': 200 * 128 / (2 * 128 + 352), 'nothing': 0.0, 'brightness': 200 / 3})
    assert results['brightness']['brightness_range'] == [51, 255]
    assert results['everything']['run'] == {
        'name': 'main_everything_r3', 'method': 'everything', 'setting': 'main', 'replicate': 3
    }  # fmt: skip
    assert list(results['nothing']['images'].values()) == [{'unknown height': [0, 0, 128]}]


def test_images_that_the_pipeline_resizes_are_scored_at_the_size_of_their_labels(study, tile_set, tmp_path):
    halved = replace(study, options=study.options | {'test_dataloader.dataset.pipeline': HALVED})
    score_baselines(halved, tile_set, tmp_path / 'runs', 0)
    result = json.loads((tmp_path / 'runs' / 'main_brightness_r0' / 'result.json').read_text())
    ((tp, fp, fn),) = next(iter(result['images'].values())).values()
    assert tp + fn == 128  # pixels of the label's buildings
    assert tp == pytest.approx(64, abs=16)  # one of two, but for a pixel along its edge
    assert fp < 32


def test_baselines_that_are_there_are_kept(study, tile_set, tmp_path):
    score_baselines(study, tile_set, tmp_path / 'runs', 0)
    before = (tmp_path / 'runs' / 'main_nothing_r0' / 'result.json').stat().st_mtime_ns
    score_baselines(study, tile_set, tmp_path / 'runs', 0)
    assert (tmp_path / 'runs' / 'main_nothing_r0' / 'result.json').stat().st_mtime_ns == before


def test_dark_buildings_are_found_by_an_upper_threshold(study, tile_set):
    image = cv2.imread(str(tile_set / 'target' / 'images' / 't.png'))
    cv2.imwrite(str(tile_set / 'target' / 'images' / 't.png'), 255 - image)
    method = study.methods['student']
    cfg = load_config(method['config'], {**study.options, 'data_root': str(tile_set)})
    assert brightness_range(cfg, [0]) == (0, 55)
