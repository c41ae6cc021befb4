"""The check measures what it says, on a small scene of an invented city."""

from projects.building_extraction.misalignment.alignment.check import LOW, Scene, check_scene, check_table
from projects.city_scenes.procedural_city import procedural_city


def test_a_scene_is_scored():
    scene = Scene(0.6, 25.0, LOW, 0.0, 1)
    score = check_scene(procedural_city(1000.0, 0), scene, size_px=512)
    assert score.buildings >= 20
    assert score.before_m > 3
    assert score.median_m < 1 < score.before_m
    assert 0.5 <= score.near <= score.near_of_sure <= 1
    assert score.azimuth_error_deg <= 5
    (row,) = check_table([(scene, score)]).rows
    assert row[:4] == ['low-rise', '0.6', '25°', '0']
