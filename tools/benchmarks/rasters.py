"""Raster prediction beside the bare runtime, and its memory under growing rasters.

python tools/benchmarks/rasters.py MODEL [CHECKPOINT] [--runtime openvino --precision bf16]
python tools/benchmarks/rasters.py MODEL --memory 4096 16384 30000

Both sides compute the same windows in the same batches, one after the other in each round; the bare side has them in
memory and drops what it gets. A generated raster is JPEG in tiles, as aerial images come.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio

from projects.deployment.prediction.rasters.prediction import predict_raster
from projects.deployment.prediction.rasters.settings import RasterSettings
from projects.deployment.prediction.rasters.windows import WindowAxis, window_side
from projects.deployment.predictor import Predictor, open_predictor
from projects.geodata.raster_files import open_raster

TILE_PX = 512


def write_raster(path: Path, size_px: int, compress: str) -> None:
    """A textured image of a size, tiled, with three bands."""
    coarse = np.random.default_rng(0).integers(0, 255, (3, TILE_PX // 8 + 1, TILE_PX // 8 + 1)).astype(np.uint8)
    texture = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :TILE_PX, :TILE_PX]
    texture = (texture * 0.9 + np.random.default_rng(1).integers(0, 25, texture.shape)).astype(np.uint8)
    profile = {'driver': 'GTiff', 'width': size_px, 'height': size_px, 'count': 3, 'dtype': 'uint8', 'tiled': True}
    profile |= {'blockxsize': TILE_PX, 'blockysize': TILE_PX, 'compress': compress, 'crs': 'EPSG:32633'}
    profile |= {'transform': rasterio.Affine(0.3, 0, 5e5, 0, -0.3, 5e6), 'interleave': 'pixel', 'num_threads': '2'}
    profile |= {'photometric': 'ycbcr' if compress == 'jpeg' else 'rgb'}
    with rasterio.open(path, 'w', **profile) as out:
        for row in range(0, size_px, TILE_PX):
            for column in range(0, size_px, TILE_PX):
                height, width = min(TILE_PX, size_px - row), min(TILE_PX, size_px - column)
                out.write(texture[:, :height, :width], window=rasterio.windows.Window(column, row, width, height))


def read_batches(path: Path, settings: RasterSettings, batch_size: int) -> list[np.ndarray]:
    """The windows that `predict_raster` predicts, in its batches."""
    overlap = settings.window_px // 8 if settings.overlap_px is None else settings.overlap_px
    with open_raster(path, as_stored=True) as raster:
        columns, rows = (
            WindowAxis(length, window_side(length, settings.window_px), overlap) for length in raster.size_px
        )
        images = [
            [raster.read(left, top, columns.window_px, rows.window_px)[0] for left in columns.starts]
            for top in rows.starts
        ]
    return [np.stack(row[i : i + batch_size]) for row in images for i in range(0, len(row), batch_size)]


def compare(predictor: Predictor, settings: RasterSettings, size_px: int, rounds: int, compress: str) -> None:
    """Print the throughput of both, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'image.tif')
        write_raster(path, size_px, compress)
        batches = read_batches(path, settings, predictor.info.batch_size or settings.batch_size)
        count = sum(map(len, batches))
        for batch in batches[:4]:
            predictor.session(batch)
        seconds: dict[str, list[float]] = {'bare': [], 'raster': []}
        for _ in range(rounds):
            start = time.perf_counter()
            for batch in batches:
                predictor.session(batch)
            seconds['bare'].append(time.perf_counter() - start)
            start = time.perf_counter()
            predict_raster(predictor, path, folder, settings)
            seconds['raster'].append(time.perf_counter() - start)
            print({name: round(values[-1], 2) for name, values in seconds.items()}, flush=True)
    bare, raster = (count / statistics.median(seconds[name]) for name in ('bare', 'raster'))
    ratio = statistics.median(a / b for a, b in zip(seconds['bare'], seconds['raster'], strict=True))
    print(f'{size_px} px, {count} windows: bare {bare:.1f}/s, raster {raster:.1f}/s, ratio {ratio:.1%}')


def measure_memory(predictor: Predictor, settings: RasterSettings, size_px: int, compress: str) -> None:
    """Print the peak memory of this process after one raster."""
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'image.tif')
        write = [sys.executable, __file__, '--write', str(path), str(size_px), '--compress', compress]
        subprocess.run(write, check=True)  # noqa: S603 (this file), not in this process, whose memory counts
        start = time.perf_counter()
        result = predict_raster(predictor, path, folder, settings)
        assert result is not None
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        written_mb = sum(file.stat().st_size for file in result.files.values()) / 1e6
    print(
        f'{size_px} px: peak {peak_mb:.0f} MiB (model opened: {before_mb:.0f}), {time.perf_counter() - start:.0f} s, '
        f'{result.num_predicted} windows, {written_mb:.0f} MB written',
        flush=True,
    )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('model', nargs='?', help='config or exported file')
    add('checkpoint', nargs='?')
    add('--runtime')
    add('--precision')
    add('--threads', type=int)
    add('--window-px', type=int, default=512)
    add('--batch-size', type=int, default=4)
    add('--size', type=int, default=4096, help='side of the raster whose throughput is measured')
    add('--rounds', type=int, default=5)
    add('--compress', default='jpeg')
    add('--memory', type=int, nargs='+', metavar='SIZE', help='measure the memory of rasters of these sides instead')
    add('--write', nargs=2, metavar=('PATH', 'SIZE'), help='write a raster and do nothing else')
    args = parser.parse_args()
    if args.write:
        write_raster(Path(args.write[0]), int(args.write[1]), args.compress)
        return
    settings = RasterSettings(window_px=args.window_px, batch_size=args.batch_size)
    if args.memory and len(args.memory) > 1:  # one process each: what a process once took never becomes less
        options = sys.argv[1 : sys.argv.index('--memory')]
        for size_px in args.memory:
            subprocess.run([sys.executable, __file__, *options, '--memory', str(size_px)], check=True)  # noqa: S603 (this file)
        return
    predictor = open_predictor(
        args.model, args.checkpoint, runtime=args.runtime, precision=args.precision, threads=args.threads
    )
    if args.memory:
        measure_memory(predictor, settings, args.memory[0], args.compress)
    else:
        compare(predictor, settings, args.size, args.rounds, args.compress)


if __name__ == '__main__':
    main()
