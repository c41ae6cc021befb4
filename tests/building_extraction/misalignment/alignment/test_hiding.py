"""What buildings hide of each other, by hand."""

import numpy as np
import shapely

from projects.building_extraction.misalignment.alignment.edges import EdgeMaps
from projects.building_extraction.misalignment.alignment.evidence import evidence_of_places
from projects.building_extraction.misalignment.alignment.hiding import Cover
from projects.building_extraction.misalignment.alignment.line_search import Line
from projects.building_extraction.misalignment.alignment.outlines import Outlines

EAST = Line(np.zeros(2), 90.0, np.inf, 9.0, 2)
SIZE_PX = 60, 20
TOWER, HOUSE = shapely.box(2, 2, 12, 18), shapely.box(14, 4, 22, 16)


def cover(*leans_m: float, gsd_m: float = 1.0) -> Cover:
    moves_m = np.array([(lean_m, 0) for lean_m in leans_m])
    return Cover.of(np.array([TOWER, HOUSE]), np.array([7, 9]), EAST, moves_m, gsd_m, SIZE_PX)


def test_walls_rise_from_the_foot_to_the_roof_and_the_higher_surface_is_seen():
    seen = cover(20, 2)
    row = seen.lean_m.reshape(SIZE_PX[::-1])[10]
    assert row[0] == -np.inf
    np.testing.assert_allclose(row[2:22], np.arange(0.5, 20), atol=0.51)  # the western wall, also before the house
    np.testing.assert_array_equal(row[22:32], 20)
    assert row[33] == -np.inf
    assert set(seen.owner.reshape(SIZE_PX[::-1])[10, 18:]) == {-1, 7}
    assert seen.is_roof.reshape(SIZE_PX[::-1])[10].tolist() == [
        22 <= column <= 32 for column in range(60)
    ]  # with its rim


def test_pixels_and_metres_are_told_apart():
    row = cover(10, 1, gsd_m=0.5).lean_m.reshape(SIZE_PX[::-1])[10]
    np.testing.assert_allclose(row[2:22], np.arange(0.25, 10, 0.5), atol=0.26)
    np.testing.assert_array_equal(row[22:32], 10)


def test_a_building_hides_lower_ones_behind_it_not_itself_nor_higher_ones():
    seen, place = cover(20, 2), np.array([[10 * SIZE_PX[0] + 18]])  # where the tower's wall leans by 16
    assert seen.hides(9, place, np.array([14.0]))
    assert not seen.hides(9, place, np.array([16.0]))
    assert not seen.hides(7, place, np.array([2.0]))
    assert not seen.hides(9, np.array([[10 * SIZE_PX[0] + 50]]), np.array([2.0]))


def test_roofs_that_are_seen_speak_against_a_higher_one_above_them():
    seen, place = cover(0, 2), np.array([[10 * SIZE_PX[0] + 20]])  # the roof of the house
    assert seen.shows_lower_roofs(7, place, np.array([9.0]))
    assert not seen.shows_lower_roofs(7, place, np.array([2.5]))
    assert not seen.shows_lower_roofs(9, place, np.array([9.0]))


def test_a_roof_that_is_half_hidden_is_found_by_what_is_left_of_it():
    tower, house, size_px = shapely.box(10, 10, 40, 70), shapely.box(44, 14, 84, 64), (160, 80)
    image = np.random.default_rng(0).normal(90, 12, size_px[::-1])
    image[14:64, 54:94] += 30  # the roof of the house, leaning by 10
    image[10:70, 40:70] = np.random.default_rng(1).normal(90, 12, (60, 30))  # that of the tower before it, by 30
    edges, outlines = EdgeMaps(image.astype(np.uint8)), Outlines.of(np.array([tower, house]))
    leans_m = np.arange(0, 70, dtype=np.float32)
    moves_px = np.stack([leans_m, np.zeros(70)], axis=1)
    surely = Cover.of(outlines.polygons[:1], np.array([0]), EAST, np.array([(30.0, 0)]), 1.0, size_px)
    alone, _ = evidence_of_places(edges, outlines, moves_px, leans_m)
    beside, inside = evidence_of_places(edges, outlines, moves_px, leans_m, surely)
    assert inside.all()
    np.testing.assert_array_equal(beside[0], alone[0])  # nothing is before the tower, and no roof below it
    assert alone[1].argmax() == beside[1].argmax() == 10
    assert beside[1, 10] > alone[1, 10]
    assert beside[1, 24:28].max() < 0.7 * alone[1, 24:28].max()  # where the tower's own edges look like the house's


def test_a_place_above_a_seen_roof_is_the_less_likely_the_more_of_that_it_would_hide():
    outlines = Outlines.of(np.array([TOWER, HOUSE]))
    image = np.random.default_rng(0).integers(0, 255, SIZE_PX[::-1]).astype(np.uint8)
    leans_m = np.arange(0, 30, dtype=np.float32)
    moves_px = np.stack([leans_m, np.zeros(30)], axis=1)
    house = Cover.of(outlines.polygons[1:], np.array([1]), EAST, np.array([(2.0, 0)]), 1.0, SIZE_PX)
    edges = EdgeMaps(image)
    alone, _ = evidence_of_places(edges, outlines, moves_px, leans_m)
    beside, _ = evidence_of_places(edges, outlines, moves_px, leans_m, house)
    loss = np.log(alone[0] / beside[0])
    assert loss[:3].max() < 1e-6
    assert loss[13] > 3.5
    assert loss[29] < 1e-6
    np.testing.assert_array_equal(beside[1], alone[1])
