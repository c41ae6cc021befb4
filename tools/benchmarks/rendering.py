"""How many tiles per second one core renders. Not a test: the figure depends on the machine.

Run with `OMP_NUM_THREADS=1 python tools/benchmarks/rendering.py`.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import shapely

from projects.city_scenes.buildings import Buildings
from projects.city_scenes.city import City
from projects.city_scenes.render import render_tile
from projects.city_scenes.sunlight import Sun
from projects.city_scenes.view import View

MELBOURNE = Path(__file__).parents[2] / 'data/melbourne/buildings.gpkg'


def dense_city(blocks: int = 40) -> City:
    """Buildings of 14 m by 12 m, every third with a tower of two tiers on top, streets of 8 m after every other one."""
    random = np.random.default_rng(0)
    starts = np.cumsum(np.tile([16.0, 24.0], blocks // 2))
    west, south = (v.ravel() for v in np.meshgrid(starts, starts))
    heights = random.lognormal(2.6, 0.6, len(west))
    polygons, tops, structures = [], [], []
    for tier in range(3):
        tall = np.arange(len(west)) % 3 == 0 if tier else np.ones(len(west), dtype=bool)
        inset = 2.0 * tier
        polygons.append(shapely.box(west + inset, south + inset, west + 14 - inset, south + 12 - inset)[tall])
        tops.append((heights * (1 + tier))[tall])
        structures.append(np.arange(len(west))[tall])
    return City(Buildings(np.concatenate(polygons), np.concatenate(tops), np.concatenate(structures)))


def melbourne() -> City:
    """The footprints of Melbourne's centre."""
    from projects.geodata.vector_files import read_buildings

    frame = read_buildings(MELBOURNE, height_column='structure_height_m', structure_column='structure_id')
    heights, structures = frame['height_m'].to_numpy(), frame['structure'].to_numpy()
    return City(Buildings(frame.geometry.to_numpy(), heights, structures, str(frame.crs)))


def measure(name: str, city: City, middle_m: np.ndarray, tiles: int) -> None:
    """Prints the speed over tiles around a place, in wall clock and in processor time."""
    view, sun, size = View(0.5, 25, 60), Sun(45, 40), (512, 512)
    corners = middle_m + np.random.default_rng(0).uniform(-300, 300, (tiles + 2, 2))
    structures = []
    for number, corner in enumerate(corners):
        if number == 2:
            wall, processor = time.perf_counter(), time.process_time()
        structures.append(len(render_tile(city, tuple(corner), size, view, sun, number).records))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f'{name}: {np.mean(structures):.0f} buildings per tile, {tiles / wall:.1f} tiles/s '
        f'({tiles / processor:.1f} per second of processor time)'
    )


def main() -> None:
    """Measures both cities."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--tiles', type=int, default=30)
    tiles = parser.parse_args().tiles
    cv2.setNumThreads(1)
    measure('dense grid', dense_city(), np.array([350.0, 600.0]), tiles)
    if MELBOURNE.exists():
        city = melbourne()
        middle = np.median(shapely.bounds(city.buildings.polygons), axis=0)
        measure('Melbourne', city, middle[:2] + np.array([-128, 128]), tiles)
    else:
        print(f'Melbourne: left out, {MELBOURNE} is absent')


if __name__ == '__main__':
    main()
