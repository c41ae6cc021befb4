"""Raster prediction beside the bare runtime, and its memory under growing rasters.

python tools/benchmarks/rasters.py MODEL [CHECKPOINT] [--runtime openvino --precision bf16]
python tools/benchmarks/rasters.py MODEL --tiles data/sample/scenes/source/images --size 6912x6912
python tools/benchmarks/rasters.py MODEL --memory 4096x4096 12288x4096

The bare runtime and the pipeline, without and with polygons, compute the same windows in the same batches, one after
the other in each round; the bare side has them in memory and drops what it gets. A generated raster is JPEG in tiles,
as aerial images come, of noise or of images of a folder side by side, in which a model finds something.
"""

import argparse
import itertools
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from projects.command_line import image_size
from projects.deployment.prediction.rasters.prediction import RasterResult, predict_raster
from projects.deployment.prediction.rasters.settings import PolygonSettings, RasterSettings
from projects.deployment.prediction.rasters.windows import WindowAxis, window_side
from projects.deployment.predictor import Predictor, open_predictor
from projects.geodata.raster_files import open_raster
from projects.geodata.vector_files import write_polygons
from projects.pixels.decoding import read_image
from projects.reporting.tables import Table

TILE_PX = 512


def write_raster(path: Path, size_px: tuple[int, int], compress: str, tiles: Path | None) -> None:
    """An image of a height and width, tiled, with three bands."""
    images = [_texture()] if tiles is None else _images(tiles)
    height, width = size_px
    profile = {'driver': 'GTiff', 'width': width, 'height': height, 'count': 3, 'dtype': 'uint8', 'tiled': True}
    profile |= {'blockxsize': TILE_PX, 'blockysize': TILE_PX, 'compress': compress, 'crs': 'EPSG:32633'}
    profile |= {'transform': rasterio.Affine(0.3, 0, 5e5, 0, -0.3, 5e6), 'interleave': 'pixel', 'num_threads': '2'}
    profile |= {'photometric': 'ycbcr' if compress == 'jpeg' else 'rgb'}
    places = itertools.product(range(0, height, TILE_PX), range(0, width, TILE_PX))
    with rasterio.open(path, 'w', **profile) as out:
        for (row, column), image in zip(places, itertools.cycle(images), strict=False):
            size = min(TILE_PX, height - row), min(TILE_PX, width - column)
            out.write(image[:, : size[0], : size[1]], window=rasterio.windows.Window(column, row, *size[::-1]))


def _texture() -> np.ndarray:
    """(3, TILE_PX, TILE_PX)."""
    coarse = np.random.default_rng(0).integers(0, 255, (3, TILE_PX // 8 + 1, TILE_PX // 8 + 1)).astype(np.uint8)
    texture = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :TILE_PX, :TILE_PX]
    return (texture * 0.9 + np.random.default_rng(1).integers(0, 25, texture.shape)).astype(np.uint8)


def _images(folder: Path) -> list[np.ndarray]:
    """(3, TILE_PX, TILE_PX) of each image, side by side with the next ones where it is smaller."""
    images = [read_image(file) for file in sorted(folder.iterdir())]
    if not images:
        raise ValueError(f'--tiles {folder}: there are no images')
    side = -(-TILE_PX // len(images[0]))
    if len(images) < side * side:
        raise ValueError(f'--tiles {folder}: {len(images)} images do not fill {TILE_PX} px; {side * side} or more do')
    blocks = [images[i : i + side * side] for i in range(0, len(images) - side * side + 1, side * side)]
    rows = [[np.hstack(block[i : i + side]) for i in range(0, side * side, side)] for block in blocks]
    return [np.vstack(row)[:TILE_PX, :TILE_PX].transpose(2, 0, 1) for row in rows]


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


def compare(predictor: Predictor, settings: RasterSettings, path: Path, rounds: int) -> None:
    """Print what each takes, and the ratios of the bare runtime to them."""
    batches = read_batches(path, settings, predictor.info.batch_size or settings.batch_size)
    count = sum(map(len, batches))
    for batch in batches[:4]:
        predictor.session(batch)

    def bare() -> None:
        for batch in batches:
            predictor.session(batch)

    ways: dict[str, Callable[[], Any]] = {'bare runtime': bare}
    ways['raster'] = lambda: predict_raster(predictor, path, path.parent, settings)
    ways['raster and polygons'] = lambda: predict_polygons(predictor, settings, path)
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter(), time.process_time()
            way()
            seconds[name].append(np.subtract((time.perf_counter(), time.process_time()), start))
            print(name, *seconds[name][-1].round(2), flush=True)
    rows = []
    for name, taken in seconds.items():
        per_window = 1000 * np.median(taken, axis=0) / count
        ratios = 100 * np.median(np.divide(seconds['bare runtime'], taken), axis=0)
        rows.append([name, *(f'{value:.1f}' for value in (*per_window, *ratios))])
    columns = ['', 'ms a window', 'of the processor', 'speed of the bare runtime, %', 'by time of the processor, %']
    print(Table(f'{count} windows', columns, rows).text())


def predict_polygons(predictor: Predictor, settings: RasterSettings, path: Path) -> tuple[RasterResult, int]:
    """Predict and write polygons, as `tools/predict.py` does; the number of polygons."""
    result = predict_raster(predictor, path, path.parent, settings, polygons=PolygonSettings())
    assert result is not None
    assert result.polygons is not None
    polygons = result.polygons()
    assert polygons is not None
    write_polygons(polygons, path.with_suffix('.gpkg'))
    return result, len(polygons)


def measure_memory(files: tuple[str, str], model: dict[str, Any], settings: RasterSettings, path: Path) -> None:
    """Print the peak memory of this process after one raster and its polygons."""
    predictor = open_predictor(*files, **model)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    result, number = predict_polygons(predictor, settings, path)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f'peak {peak_mb:.0f} MiB (model opened: {before_mb:.0f}), {time.perf_counter() - start:.0f} s, '
        f'{result.num_predicted} windows, {number} polygons',
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
    add('--size', type=image_size, default='4096x4096', metavar='HxW', help='of the raster that is timed')
    add('--rounds', type=int, default=5)
    add('--compress', default='jpeg')
    add('--tiles', type=Path, help='folder of images that the raster is made of')
    add('--memory', type=image_size, nargs='+', metavar='HxW', help='measure memory, with rasters of these sizes')
    args = parser.parse_args()
    settings = RasterSettings(window_px=args.window_px, batch_size=args.batch_size)
    model = {'runtime': args.runtime, 'precision': args.precision, 'threads': args.threads}
    for size_px in args.memory or [args.size]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'image.tif')
            write_raster(path, size_px, args.compress, args.tiles)
            print(*size_px, 'px, height and width')
            if not args.memory:
                compare(open_predictor(args.model, args.checkpoint, **model), settings, path, args.rounds)
            else:  # in a new process each: what a process once took never becomes less
                with ProcessPoolExecutor(1, get_context('spawn')) as pool:
                    pool.submit(measure_memory, (args.model, args.checkpoint), model, settings, path).result()


if __name__ == '__main__':
    main()
