"""No building is seen in two splits: whole sets, asked of the renderer itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from projects.building_extraction.preparation.scenes.tiles import write_scenes
from projects.city_scenes.buildings import Buildings
from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain
from projects.city_scenes.frame import Frame
from projects.city_scenes.procedural_city import procedural_city
from projects.city_scenes.surfaces import GROUND, see
from projects.city_scenes.view import View

MELBOURNE = Path(__file__).parents[5] / 'shared' / 'data' / 'melbourne' / 'buildings.gpkg'
DOMAINS = {
    'source': Domain(12, (10, 40), registration_error_m=1.5, label='footprint'),
    'target': Domain(4),
    'val': Domain(2),
    'test': Domain(4),
}
TILE_PX = 40


def blocks(size_m, gap_m, heights_m, number, seed):
    """Rectangles on a grid, some of them with a second tier that stands a street away: one building all the same."""
    random = np.random.default_rng(seed)
    polygons, heights, structures = [], [], []
    for column, row in np.ndindex(number, number):
        x, y = np.array([column, row]) * (size_m + gap_m)
        sides = size_m * random.uniform(0.5, 1, 2)
        polygons.append(shapely.box(x, y, *(np.array([x, y]) + sides)))
        heights.append(float(random.choice(heights_m)))
        structures.append(column * number + row)
        if random.random() < 0.2 and row:
            polygons.append(shapely.box(x, y - gap_m - 5, x + 5, y - gap_m))
            heights.append(heights[-1] + 10)
            structures.append(structures[-1])
    return City(Buildings(np.array(polygons, dtype=object), np.array(heights), np.array(structures)))


CITIES = {
    'low': lambda: blocks(14, 8, (3, 5, 8), 30, 0),
    'wide': lambda: blocks(90, 12, (6, 9, 12), 9, 1),
    'tall': lambda: blocks(24, 16, (8, 40, 120, 300), 34, 2),
    'invented': lambda: procedural_city(1000, 0),
}


def structures_of(city, image):
    """All that the image and its label may show."""
    view = View(1.0, image['off_nadir_deg'], image['azimuth_deg'])
    owners, found = np.append(city.surface_structures, -1), set()
    for east, north in ((0.0, 0.0), image['label_displacement_m']):
        west, top = image['west_north_m'][0] - east, image['west_north_m'][1] - north
        for offset in (view.offset_m(1.0), np.zeros(2)):
            surface = see(city, Frame(west, top, 1.0, (TILE_PX, TILE_PX)), offset).surface
            found |= set(owners[np.unique(surface[surface != GROUND])].tolist())
    return found


def check(city, folder, seed):
    write_scenes(city, DOMAINS, 1.0, TILE_PX, folder, seed, num_processes=1)
    shown, corners = {}, {}
    for split in DOMAINS:
        images = json.loads((folder / split / 'instances.json').read_text())['images']
        shown[split] = set().union(*(structures_of(city, image) for image in images))
        corners[split] = np.array([image['west_north_m'] for image in images])
        listed = [json.loads(path.read_text()) for path in (folder / split / 'buildings').iterdir()]
        assert {row['structure'] for rows in listed for row in rows} <= shown[split]
    assert all(shown.values())
    assert sum(map(len, shown.values())) == len(set().union(*shown.values()))
    for first in DOMAINS:
        for second in set(DOMAINS) - {first}:
            apart = np.abs(corners[first][:, None] - corners[second]).max(axis=-1)
            assert apart.min() >= TILE_PX - 0.02
    return corners


@pytest.mark.parametrize('name', CITIES)
def test_no_building_is_in_two_splits(name, tmp_path):
    city = CITIES[name]()
    first, second = (check(city, tmp_path / str(seed), seed) for seed in (0, 1))
    assert any(not np.array_equal(first[split], second[split]) for split in DOMAINS)


def test_no_building_of_melbourne_is_in_two_splits(tmp_path):
    if not MELBOURNE.exists():
        pytest.skip(f'{MELBOURNE} is absent')
    pytest.importorskip('pyogrio', reason="needs the extra 'geo'")
    from projects.city_scenes.footprints import read_city

    check(read_city(MELBOURNE), tmp_path / 'set', 0)
