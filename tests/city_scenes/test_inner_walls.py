"""Roofs of buildings with several tiers, in a view that leans north: values worked out by hand."""

import cv2
import numpy as np
import pytest
import shapely

from projects.city_scenes.buildings import Buildings
from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain, Flight
from projects.city_scenes.frame import Frame
from projects.city_scenes.labeled_tile import label_tile
from projects.city_scenes.labels import label
from projects.city_scenes.procedural_city import procedural_city
from projects.city_scenes.sunlight import Sun
from projects.city_scenes.surfaces import see
from projects.city_scenes.view import View

FRAME = Frame(0.0, 100.0, 1.0, (100, 40))


def city_of(*tiers, structures=None):
    """Boxes 20 m wide from south to north, as (south, north, height)."""
    polygons = [shapely.box(10, south, 30, north) for south, north, _ in tiers]
    heights = np.array([float(height) for *_, height in tiers])
    structures = [0] * len(tiers) if structures is None else structures
    return City(Buildings(np.array(polygons, dtype=object), heights, np.array(structures)))


def shown(city, off_nadir_deg=45.0):
    """North coordinates at which column 20 shows a roof and a facade, as sets of metres."""
    view = View(1.0, off_nadir_deg, 0.0)
    labels = label(city, FRAME, view, see(city, FRAME, view.offset_m(1.0)))
    return tuple({99 - int(row) for row in np.flatnonzero(ids[:, 20])} for ids in (labels.roof_ids, labels.facade_ids))


def meters(start, end):
    return set(range(start, end))


def test_a_tower_on_a_podium_is_one_roof():
    # the podium's roof appears at 20 to 60, the tower's at 50 to 70, its wall between them at 30 to 50
    assert shown(city_of((0, 40, 20), (10, 30, 40))) == (meters(20, 70), meters(0, 20))


@pytest.mark.parametrize('gap_m', [0.0, 0.2])
def test_steps_side_by_side_are_one_roof(gap_m):
    # roofs at 10 to 30 and 40 to 60; the step between them
    assert shown(city_of((0, 20, 10), (20 + gap_m, 40, 20))) == (meters(10, 60), meters(0, 10))


def test_the_facade_of_a_tower_beyond_its_podium_is_no_roof():
    # podium at 10 to 30, tower's roof at 70 to 74; behind its wall there is the podium's roof up to 30
    roof, facade = shown(city_of((0, 20, 10), (10, 14, 60)))
    assert roof == meters(10, 30) | meters(70, 74)
    assert facade == meters(0, 10) | meters(30, 70)


def test_a_wall_on_the_building_s_border_is_a_facade():
    assert shown(city_of((0, 40, 10), (0, 20, 30))) == (meters(30, 50), meters(0, 30))


def test_a_wall_above_another_building_is_a_facade():
    assert shown(city_of((0, 20, 10), (20, 40, 20), structures=[0, 1])) == (
        meters(10, 30) | meters(40, 60),
        meters(0, 10) | meters(30, 40),
    )


def test_seen_from_above_nothing_changes():
    assert shown(city_of((0, 40, 20), (10, 30, 40)), 0.0) == (meters(0, 40), set())


def test_mask_instances_heights_and_records_of_a_tile_agree():
    city = city_of((0, 40, 20), (10, 30, 40))
    flight = Flight(View(1.0, 45.0, 0.0), Sun(), (0.0, 0.0))
    tile = label_tile(city, Domain(1, (45, 45)), flight, (0.0, 100.0), 100, 16, seed=0)
    assert (tile.instances == tile.roof_ids).all()
    assert ((tile.surfaces & 1) > 0).sum() == (tile.instances > 0).sum() == 20 * 50
    assert tile.heights_m[tile.instances > 0].min() == 20  # on the wall it rises from the one roof to the other
    assert tile.heights_m[99 - 40, 20] == pytest.approx(30.5, abs=0.51)
    assert tile.records[0].visible_share == 1


def test_apart_each_tier_has_a_roof_and_a_footprint_that_its_offset_joins():
    """The podium's roof appears at 20 to 60; the tower's roof, at 50 to 70, and its wall, at 30 to 50, hide some."""
    city = city_of((0, 40, 20), (10, 30, 40))
    flight = Flight(View(1.0, 45.0, 0.0), Sun(), (0.0, 0.0))
    tile = label_tile(city, Domain(1, (45, 45), label='tier'), flight, (0.0, 100.0), 100, 16, seed=0)
    roofs, footprints = (
        [{99 - int(row) for row in np.flatnonzero(ids[:, 20] == number)} for number in (1, 2)]
        for ids in (tile.roof_ids, tile.footprint_ids)
    )
    assert roofs == [meters(20, 30), meters(50, 70)]
    assert footprints == [meters(0, 10) | meters(30, 40), meters(10, 30)]
    assert (tile.instances == tile.roof_ids).all()
    for record, roof, footprint in zip(tile.records, roofs, footprints, strict=True):
        assert record.tiers == 1
        assert record.offset_px == pytest.approx((0, -record.height_m))
        assert {north - round(record.height_m) for north in roof} <= footprint
    assert [record.height_m for record in tile.records] == [20, 40]


def holes(roof_ids, facade_ids):
    """Pieces of facade that lie wholly within the roof of their own building."""
    count = 0
    for number in np.unique(facade_ids[facade_ids > 0]):
        _, pieces = cv2.connectedComponents((facade_ids == number).astype(np.uint8), connectivity=4)
        for piece in range(1, pieces.max() + 1):
            around = cv2.dilate((pieces == piece).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            count += bool((roof_ids[around & (pieces != piece)] == number).all())
    return count


def test_walls_are_no_holes_in_the_roof_of_their_own_building():
    city, before, after = procedural_city(400, 1), 0, 0
    for azimuth_deg in (20, 140):
        view, frame = View(1.0, 10.0, azimuth_deg), Frame(100.0, 300.0, 1.0, (200, 200))
        seen = see(city, frame, view.offset_m(1.0))
        labels = label(city, frame, view, seen)
        buildings, is_roof = labels.roof_ids + labels.facade_ids, seen.surface >= len(city.wall_prisms)
        before += holes(buildings * is_roof, buildings * ~is_roof)
        after += holes(labels.roof_ids, labels.facade_ids)
        assert (labels.roof_ids[is_roof] == buildings[is_roof]).all()
    assert before > 20
    assert after <= 2  # where the tower's corner touches the podium's border
