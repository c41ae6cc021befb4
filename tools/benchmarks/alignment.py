"""Time and memory of an alignment on a raster of any size.

    python tools/benchmarks/alignment.py --side-px 4096 50000 --labeled 12 --processes 1 2

The raster is one rendered scene of an invented city (0.6 m, 20 degrees off nadir), repeated by a VRT; labels lie in
`--labeled` of its copies, evenly spread, shifted by 3 m east and 2 m south. Printed are seconds, the peak memory of
the largest of its processes, and how far from their roofs the buildings of one tier lie before and afterwards.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import shapely

from projects.city_scenes.procedural_city import procedural_city
from projects.city_scenes.render import render_tile
from projects.city_scenes.sunlight import Sun
from projects.city_scenes.view import View
from projects.geodata.polygonal import translate
from projects.geodata.raster_files import write_geotiff
from projects.geodata.vector_files import geopandas, write_polygons
from projects.reporting.number_format import fixed
from projects.reporting.tables import Table

SCENE_PX, VIEW, SUN = 1024, View(0.6, 20.0, 110.0), Sun(50.0, 30.0)
CRS, WEST, NORTH = 'EPSG:32633', 500_000.0, 5_000_000.0
SHIFT_M = np.array([3.0, -2.0])
TOOL = Path(__file__).parents[1] / 'align_labels.py'


def main() -> None:
    """Parse, align and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--side-px', type=int, nargs='+', default=[4096, 50_000])
    parser.add_argument('--labeled', type=int, default=12, help='copies of the scene that have labels')
    parser.add_argument('--processes', type=int, nargs='+', default=[1, 2])
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side_px in args.side_px:
            roofs_m, single = write_inputs(folder, side_px, args.labeled)
            for processes in args.processes:
                seconds, memory_gb = run(folder, processes)
                found = geopandas.read_file(folder / 'aligned.gpkg', layer='roofs')
                moved_m = found[['dx_m', 'dy_m']].to_numpy()
                off_m = np.linalg.norm(moved_m - roofs_m, axis=1)[single]
                before = fixed(float(np.median(np.linalg.norm(roofs_m[single], axis=1))), 2)
                row = [str(side_px), str(processes), str(len(found)), fixed(seconds, 0), fixed(memory_gb, 2)]
                rows.append([*row, before, fixed(float(np.median(off_m)), 2), f'{np.mean(off_m <= 1.5):.0%}'])
    columns = ['side px', 'processes', 'labels', 's', 'GB', 'before m', 'median m', 'within 1.5 m']
    print(Table('', columns, rows, numeric=columns).markdown())


def write_inputs(folder: Path, side_px: int, labeled: int) -> tuple[np.ndarray, np.ndarray]:
    """Write raster and labels; moves (N, 2) in metres from labels to roofs, and which buildings have one tier (N,)."""
    city, side_m = procedural_city(1000.0, 0), SCENE_PX * VIEW.gsd_m
    corner = 150.0, 150.0 + side_m
    image = render_tile(city, corner, (SCENE_PX, SCENE_PX), VIEW, SUN, 0).image
    write_geotiff(folder / 'scene.tif', image)
    copies = -(-side_px // SCENE_PX)
    (folder / 'raster.vrt').write_text(repeated('scene.tif', copies, side_px))
    tile = shapely.box(corner[0], corner[1] - side_m, corner[0] + side_m, corner[1])
    inside = shapely.within(city.buildings.polygons, tile)
    polygons, heights_m = city.buildings.polygons[inside], city.drawn_heights_m[inside]
    whole = max(side_px // SCENE_PX, 1)
    places = np.unique(np.linspace(0, whole**2 - 1, min(labeled, whole**2)).round().astype(int))
    columns, down = places % whole, places // whole
    moves_m = np.stack([WEST - corner[0] + columns * side_m, NORTH - corner[1] - down * side_m], axis=1) + SHIFT_M
    labels = [translate(polygons, np.broadcast_to(move_m, (len(polygons), 2))) for move_m in moves_m]
    write_polygons(geopandas.GeoDataFrame(geometry=np.concatenate(labels), crs=CRS), folder / 'labels.gpkg')
    single = city.tiers[city.buildings.structures[inside]] == 1
    return np.tile(VIEW.offset_m(heights_m) - SHIFT_M, (len(places), 1)), np.tile(single, len(places))


def repeated(file: str, copies: int, side_px: int) -> str:
    """A virtual raster of so many copies of a scene across and down, cut to its size."""
    bands = []
    for band in (1, 2, 3):
        sources = ''.join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{file}</SourceFilename><SourceBand>{band}</SourceBand>'
            f'<SourceProperties RasterXSize="{SCENE_PX}" RasterYSize="{SCENE_PX}" DataType="Byte"/>'
            f'<SrcRect xOff="0" yOff="0" xSize="{SCENE_PX}" ySize="{SCENE_PX}"/>'
            f'<DstRect xOff="{column * SCENE_PX}" yOff="{row * SCENE_PX}" xSize="{SCENE_PX}" ySize="{SCENE_PX}"/>'
            '</SimpleSource>'
            for row in range(copies)
            for column in range(copies)
        )
        color = ('Red', 'Green', 'Blue')[band - 1]
        bands.append(
            f'<VRTRasterBand dataType="Byte" band="{band}"><ColorInterp>{color}</ColorInterp>{sources}</VRTRasterBand>'
        )
    place = f'{WEST}, {VIEW.gsd_m}, 0, {NORTH}, 0, {-VIEW.gsd_m}'
    return (
        f'<VRTDataset rasterXSize="{side_px}" rasterYSize="{side_px}"><SRS>{CRS}</SRS>'
        f'<GeoTransform>{place}</GeoTransform>{"".join(bands)}</VRTDataset>'
    )


def run(folder: Path, processes: int) -> tuple[float, float]:
    """Align by the tool; seconds, and the largest peak memory of one of its processes in GB."""
    options = ['--image', 'raster.vrt', '--labels', 'labels.gpkg', '--out', 'aligned.gpkg']
    command = [sys.executable, str(TOOL), *options, '--processes', str(processes)]
    start = time.perf_counter()
    tool = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603  of this project
    _, status, used = os.wait4(tool.pid, 0)
    if status:
        sys.exit(f'{TOOL.name} ended with {os.waitstatus_to_exitcode(status)}')
    return time.perf_counter() - start, used.ru_maxrss * 1024 / 1e9


if __name__ == '__main__':
    main()
