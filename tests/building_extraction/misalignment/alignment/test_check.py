"""The check measures what it says, on a small scene of an invented city."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from projects.building_extraction.misalignment.alignment.aligned_labels import BY_LEAN
from projects.building_extraction.misalignment.alignment.check import (
    LOW,
    TOWERS,
    Scene,
    _score_guess,
    _score_heights,
    check_scene,
    check_table,
    scenes_to_check,
    share_of_all,
)
from projects.city_scenes.procedural_city import procedural_city


def test_heights_are_those_of_the_labels_that_are_left():
    roofs = pd.DataFrame({'label': [1, 3, 4], 'height_m': [5.0, 40.0, 9.0], 'height_from': [BY_LEAN, BY_LEAN, '']})
    error_m, right, told = _score_heights(roofs, BY_LEAN, np.array([True] * 4), np.array([6.0, 50.0, 20.0, 9.0]))
    assert (error_m, right, told) == (10.5, 0.5, 0.5)  # 1 and 20 m; 40 m is no mid-rise building; two of four


def test_the_control_is_the_median_height_of_all():
    assert _score_guess(np.array([6.0, 8.0, 9.0, 20.0])) == (1.5, 0.75)  # 8.5 m: 2.5, 0.5, 0.5 and 11.5 m off
    assert np.isnan(_score_guess(np.array([]))).all()


def test_the_interval_of_a_share_is_that_of_scenes_not_of_buildings():
    interval = share_of_all([2000] * 4, (0.4, 0.6, 0.4, 0.6))
    assert interval.mean == pytest.approx(0.5)
    half = 3.182 * 0.1 / np.sqrt(3)  # Student's t with 3 degrees of freedom; 0.1153 is the deviation of four scenes
    assert interval.high - 0.5 == pytest.approx(half, rel=0.05)
    assert 0.5 - interval.low == pytest.approx(half, rel=0.05)
    assert share_of_all([300, 100], [0.5, 1.0]).mean == pytest.approx(0.625)
    assert share_of_all([2000], [0.4]).low is None


def test_scenes_are_of_every_view_and_of_places_of_their_own():
    once, thrice = scenes_to_check(), scenes_to_check(3)
    assert len(once) == 16
    assert set(once) < set(thrice)
    assert len(set(thrice)) == 48
    assert {(scene.gsd_m, scene.off_nadir_deg, scene.area) for scene in once} == {
        (gsd_m, angle, area) for gsd_m, angle in ((0.6, 15), (0.6, 20), (0.6, 30), (0.3, 25)) for area in (LOW, TOWERS)
    }
    without, with_jitter = thrice[:24], thrice[24:]
    assert [scene.seed for scene in without] == [scene.seed for scene in with_jitter] == list(range(24))
    assert {scene.jitter_m for scene in without} == {0.0}
    assert {scene.jitter_m for scene in with_jitter} == {0.7}


def test_a_scene_is_scored():
    scene = Scene(0.6, 25.0, LOW, 0.0, 1)
    score = check_scene(procedural_city(1000.0, 0), scene, size_px=512)
    assert score.buildings >= 20
    assert score.before_m > 3
    assert score.median_m < 1 < score.before_m
    assert 0.5 <= score.near <= score.near_of_sure <= 1
    assert 0.5 < score.seen <= 1
    assert score.near <= score.near_of_seen <= 1
    assert score.azimuth_error_deg <= 5
    assert score.buildings / 2 <= score.sure <= 0.6 * score.buildings
    other = replace(score, buildings=3 * score.buildings, near=0.5, sure=3 * score.sure, near_of_sure=0.8)
    row, _, total = check_table([(scene, replace(score, near=1.0, near_of_sure=1.0)), (scene, other)]).rows
    assert row[:4] == ['low-rise', '0.6', '25°', '0']
    assert total[0] == 'all low-rise'
    assert total[4] == str(4 * score.buildings)
    assert total[7].startswith('62% (')  # (1 + 3 x 0.5) / 4
    assert total[8].startswith('85% (')  # (1 + 3 x 0.8) / 4
