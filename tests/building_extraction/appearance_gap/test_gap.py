import json

import numpy as np
import pytest
from PIL import Image

from projects.building_extraction.appearance_gap.gap import area_under_curve, measure_gap
from tests.building_extraction.appearance_gap.test_features import picture
from tests.processes import run_tool


def write(folder, images):
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f'{number}.png')
    return folder


def test_the_area_under_the_curve_counts_pairs_in_the_right_order():
    random = np.random.default_rng(0)
    scores, labels = random.integers(0, 5, 60).astype(float), (random.random(60) < 0.4).astype(float)
    ones, zeros = scores[labels == 1], scores[labels == 0]
    pairs = [(one > zero) + 0.5 * (one == zero) for one in ones for zero in zeros]
    assert area_under_curve(scores, labels) == pytest.approx(np.mean(pairs))


def test_sets_of_one_kind_cannot_be_told_apart_and_noise_gives_another_away(tmp_path):
    same = [
        write(tmp_path / name, [picture(seed) for seed in seeds])
        for name, seeds in (('a', range(20)), ('b', range(20, 40)))
    ]
    assert 0.2 < measure_gap(*same, patch_px=128).auc < 0.8
    noisy = write(tmp_path / 'c', [picture(seed, noise=20) for seed in range(40, 60)])
    gap = measure_gap(same[0], noisy, patch_px=64)
    assert gap.auc > 0.98
    assert gap.pictures == (20, 20)
    assert gap.own_auc[list(gap.features).index('noise')] > 0.98
    done = run_tool('appearance_gap.py', 'a', 'c', '--patch-px', 64, '--features', 3, '--json', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['results']['auc'] == pytest.approx(gap.auc)
    table = gap.table(('calm', 'noisy'), 3)
    assert len(table.rows) == 3
    assert 'calm (20) and noisy (20): told apart with an AUC of ' in table.caption


def test_folders_that_cannot_be_compared(tmp_path):
    pictures = write(tmp_path / 'a', [picture(seed) for seed in range(5)])
    (tmp_path / 'none').mkdir()
    with pytest.raises(FileNotFoundError, match='none holds no pictures'):
        measure_gap(pictures, tmp_path / 'none', 64)
    few = write(tmp_path / 'few', [picture()])
    with pytest.raises(ValueError, match='few holds 1 pictures; expected 5'):
        measure_gap(pictures, few, 64)
    with pytest.raises(ValueError, match=r'128 x 128 px, smaller than a patch of 256 px'):
        measure_gap(pictures, pictures)
    (pictures / '0.png').write_bytes(b'broken')
    with pytest.raises(ValueError, match=r'0\.png: cannot identify'):
        measure_gap(pictures, pictures, 64)
