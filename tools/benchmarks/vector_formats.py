"""What files of polygons take to write and to read, how large they are, and the memory that writing takes.

python tools/benchmarks/vector_formats.py --polygons 20000

Each format is written in a process of its own, whose peak is compared with that of one that writes nothing; seconds are
those of the processor.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import shapely

from projects.geodata.vector_files import FORMATS, read_buildings, write_polygons

SIDE_M = 20.0  # a plot with one building each


def frame_of(number: int) -> geopandas.GeoDataFrame:
    """That many outlines of eight corners on a square of ground, with four attributes."""
    random = np.random.default_rng(0)
    across = int(np.ceil(np.sqrt(number)))
    corners = np.stack(np.divmod(np.arange(number), across), axis=1) * SIDE_M + [500_000, 5_000_000]
    shape = np.array([(0, 0), (12, 0), (12, 4), (8, 4), (8, 7), (3, 7), (3, 9), (0, 9), (0, 0)])
    outlines = shapely.polygons(corners[:, None] + shape * random.uniform(0.5, 1.2, (number, 1, 1)))
    columns = {'score': random.random(number), 'height_m': random.gamma(2, 5, number), 'instance': np.arange(number)}
    frame = geopandas.GeoDataFrame(columns, geometry=outlines, crs='EPSG:32633')
    return frame.assign(area_m2=frame.area)


def measure(suffix: str, number: int) -> None:
    """Print seconds of the processor to write, megabytes of the file, seconds to read, and the peak of memory."""
    frame = frame_of(number)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'a{suffix}'
        begin = time.process_time()
        if suffix in FORMATS:
            write_polygons(frame, path)
        wrote_s, peak = time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        begin = time.process_time()
        if suffix == '.pmtiles':
            pyogrio.read_dataframe(path)
        elif suffix in FORMATS:
            read_buildings(path)
        read_s = time.process_time() - begin
        print(wrote_s, path.stat().st_size / 1e6 if path.exists() else 0, read_s, peak)


def main() -> None:
    """Measure all formats, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--polygons', type=int, default=20_000)
    parser.add_argument('--only', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only is not None:
        measure(args.only, args.polygons)
        return
    found = {}
    for suffix in ('none', *FORMATS):
        command = [sys.executable, __file__, '--polygons', str(args.polygons), '--only', suffix]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        found[suffix] = list(map(float, output.splitlines()[-1].split()))
    print('| file | write s | read s | MB | memory of writing MB |\n| --- | ---: | ---: | ---: | ---: |')
    for suffix, (wrote_s, size_mb, read_s, peak_mb) in found.items():
        if suffix in FORMATS:
            more = peak_mb - found['none'][3]
            print(f'| `{suffix}` | {wrote_s:.1f} | {read_s:.1f} | {size_mb:.1f} | {max(more, 0):.0f} |')


if __name__ == '__main__':
    main()
