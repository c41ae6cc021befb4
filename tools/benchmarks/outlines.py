"""Raw outlines beside regularised ones, on rendered roofs whose true outlines are known.

    python tools/benchmarks/outlines.py --footprints FILE.gpkg --tiles 12

Method: tiles of a city are rendered off nadir; the exact map of their roofs, building by building, is vectorised as
`tools/vectorize.py --instances` does, without and with `--regularise`, and both are scored by `compare_polygons`
against the true roofs: footprints moved by their offset. Once from the exact map, and once from one whose borders waver
as those of networks do: each pixel shows what lies a smooth random displacement away (normal, of `WAVER_PX` along each
axis, correlated over `WAVER_SCALE_PX`). Left out are buildings of several tiers, whose roofs lie at several places,
those that leave the tile, and those of which less than `VISIBLE` is seen. Seconds are those of the processor that all
buildings of the tiles take, with those that are left out.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import shapely
from scipy import ndimage

from projects.building_extraction.evaluation.polygon_comparison import compare_polygons
from projects.building_extraction.height_classes import HeightClasses
from projects.city_scenes.city import City
from projects.city_scenes.footprints import read_city
from projects.city_scenes.frame import Frame
from projects.city_scenes.labels import label
from projects.city_scenes.procedural_city import procedural_city
from projects.city_scenes.surfaces import see
from projects.city_scenes.view import View
from projects.geodata.polygonal import translate
from projects.geodata.polygons.vectorization import VectorizationSettings, vectorize
from projects.reporting.number_format import fixed
from projects.reporting.tables import Table

WAVER_PX, WAVER_SCALE_PX, VISIBLE = 1.0, 3.0, 0.95
COLUMNS = {'PoLiS m': 'polis_m', 'corner ratio': 'corner_ratio', 'boundary AP': 'boundary_ap', 'IoU': 'iou'}
COLUMNS |= {'C-IoU': 'c_iou', 'right angles %': 'right_angles', 'overlapping %': 'overlapping'}
LOCAL = 'LOCAL_CS["metres", UNIT["metre", 1]]'


def main() -> None:
    """Parse, vectorise and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--footprints', type=Path, help='vector file with heights (default: an invented city)')
    parser.add_argument('--tiles', type=int, default=12)
    parser.add_argument('--tile-px', type=int, default=512)
    parser.add_argument('--gsd-m', type=float, nargs='+', default=[0.3, 0.6])
    parser.add_argument('--off-nadir-deg', type=float, default=10.0)
    parser.add_argument('--band-m', type=float, default=1.0)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    city = procedural_city(2000.0, args.seed) if args.footprints is None else read_city(args.footprints)
    rows = []
    for gsd_m in args.gsd_m:
        for name, waver_px in (('exact', 0.0), ('wavering', WAVER_PX)):
            for method in ('raw', 'regularised'):
                random, parts, seconds = np.random.default_rng(args.seed), [], 0.0
                for _ in range(args.tiles):
                    ids, frame, view, records = tile_of(city, gsd_m, args.tile_px, args.off_nadir_deg, random)
                    ids = wavering(ids, waver_px, random)
                    start = time.process_time()
                    found = outlines_of(ids, frame, regularise=method == 'regularised')
                    seconds += time.process_time() - start
                    parts.append(pairs_of(city, found, frame, view, records))
                found, true, heights_m = (np.concatenate([part[n] for part in parts]) for n in range(3))
                classes = HeightClasses()
                scores = compare_polygons(found, true, heights_m, classes, args.band_m).statistics(classes)['overall']
                cells = [fixed(scores[key], 3 if 'polis' in key or 'ratio' in key else 1) for key in COLUMNS.values()]
                rows.append([f'{gsd_m:g}', name, method, f'{scores["labels"]:.0f}', *cells, fixed(seconds)])
    columns = ['m/px', 'borders', 'outlines', 'roofs', *COLUMNS, 'seconds']
    print(Table('', columns, rows, numeric=columns[3:]).markdown())


def tile_of(city: City, gsd_m: float, tile_px: int, off_nadir_deg: float, random: np.random.Generator) -> tuple:
    """Numbers of the roofs at each pixel of a tile with buildings, its frame and view, and its buildings."""
    west, south, east, north = shapely.total_bounds(city.buildings.polygons)
    side = tile_px * gsd_m
    while True:
        corner = random.uniform((west, south + side), (max(east - side, west + 1), north))
        frame = Frame(float(corner[0]), float(corner[1]), gsd_m, (tile_px, tile_px))
        view = View(gsd_m, off_nadir_deg, float(random.uniform(0, 360)))
        labels = label(city, frame, view, see(city, frame, view.offset_m(1.0)))
        if (labels.roof_ids > 0).mean() > 0.1:
            return labels.roof_ids, frame, view, labels.records


def wavering(ids: np.ndarray, waver_px: float, random: np.random.Generator) -> np.ndarray:
    """What lies a smooth random displacement away from each pixel."""
    shifts = ndimage.gaussian_filter(random.normal(size=(2, *ids.shape)), (0, WAVER_SCALE_PX, WAVER_SCALE_PX))
    shifts *= waver_px / shifts.std()
    places = np.rint(np.indices(ids.shape) + shifts).astype(int)
    return ids[tuple(np.clip(places, 0, ids.shape[0] - 1))]


def outlines_of(ids: np.ndarray, frame: Frame, regularise: bool) -> dict[int, shapely.Geometry]:
    """Outline of each building, in the city's metres."""
    transform = (frame.gsd_m, 0, 0, 0, -frame.gsd_m, 0)
    settings = VectorizationSettings(regularise=regularise)
    polygons = vectorize(None, transform, LOCAL, settings, instances=ids)
    moved = translate(polygons.geometry.to_numpy(), np.array([[frame.west_m, frame.north_m]] * len(polygons)))
    return dict(zip(polygons['instance'].tolist(), moved, strict=True))


def pairs_of(city: City, found: dict, frame: Frame, view: View, records: list) -> tuple:
    """Outlines that were found, true ones, and heights, of the buildings that are compared."""
    inside = shapely.box(*frame.bounds_m).buffer(-1)
    rows = []
    for record in records:
        true = city.structure_outlines[record.structure]
        true = shapely.affinity.translate(true, *view.offset_m(np.nan_to_num(record.height_m, nan=6.0)))
        if record.tiers == 1 and record.visible_share >= VISIBLE and inside.contains(true) and record.instance in found:
            rows.append((found[record.instance], true, record.height_m))
    found_roofs, true_roofs, heights_m = ([row[n] for row in rows] for n in range(3))
    return np.array(found_roofs, object), np.array(true_roofs, object), np.array(heights_m, float)


if __name__ == '__main__':
    main()
