"""Time, size and memory of the page with a map of a raster, whose result is made up.

python tools/benchmarks/maps.py 4096 30000

The image is that of `rasters.py`, JPEG in tiles without overviews, so that all of it is read; probabilities have
overviews, as predictions have them.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasters import write_raster  # beside this file

from projects.deployment.model_info import SEGMENTATION, ModelInfo
from projects.deployment.prediction.image_files import RASTER, InputFile
from projects.deployment.prediction.map_pages import write_prediction_map
from projects.deployment.prediction.rasters.map_views import raster_view
from projects.deployment.prediction.rasters.settings import MapSettings, RasterSettings
from projects.geodata.raster_strips import RasterGrid, RasterLayer, create_strip, join_strips
from projects.geodata.vector_files import geopandas

CRS, TRANSFORM = 'EPSG:32633', rasterio.Affine(0.3, 0, 5e5, 0, -0.3, 5e6)
STRIP_PX = 2048
INFO = ModelInfo(SEGMENTATION, ('ground', 'building'), ((0, 0, 0), (9, 9, 9)), (0.0,) * 3, (1.0,) * 3, threshold=0.5)


def write_layer(path: Path, size_px: int) -> None:
    """Probabilities of a size, as predictions are written: squares that are sure, with soft edges."""
    period = np.minimum(np.arange(size_px) % 128, 128 - np.arange(size_px) % 128)
    ramp = np.clip((period.astype(np.float32) - 30) / 8, 0, 1)
    layer, strips = RasterLayer('uint8', ('probability',)), []
    for row in range(0, size_px, STRIP_PX):
        values = (ramp[row : row + STRIP_PX, None] * ramp * 255).astype(np.uint8)
        strip = path.with_name(f'{row}.tif')
        with create_strip(strip, layer, size_px, len(values)) as file:
            file.write(0, 0, values[None], None)
        strips.append((row, strip))
    join_strips(path, layer, RasterGrid(size_px, size_px, CRS, TRANSFORM), strips, False, {}, lambda rows: None)


def made_up_buildings(size_px: int) -> geopandas.GeoDataFrame:
    """Rectangles of 24 to 80 px, one per 30,000 pixels, with a corner every 8 px, as outlines along pixels have."""
    random = np.random.default_rng(0)
    corners = random.uniform(0, size_px - 80, (size_px**2 // 30_000, 2))
    ends = corners + random.uniform(24, 80, corners.shape)
    boxes = shapely.segmentize(shapely.box(*(TRANSFORM @ corners.T), *(TRANSFORM @ ends.T)), 8 * TRANSFORM.a)
    return geopandas.GeoDataFrame({'score': random.uniform(0.5, 1, len(boxes))}, geometry=boxes, crs=CRS)


def measure(size_px: int) -> None:
    """Print what the page of a raster of a size takes."""
    with tempfile.TemporaryDirectory() as folder:
        path, layer = Path(folder, 'image.tif'), Path(folder, 'probability.tif')
        with ProcessPoolExecutor(1, get_context('spawn')) as other:  # whose memory does not count
            other.submit(write_raster, path, (size_px, size_px), 'jpeg', None).result()
            other.submit(write_layer, layer, size_px).result()
        buildings = made_up_buildings(size_px)
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start, worked = time.perf_counter(), time.process_time()
        file = InputFile(path, path.name, path.stem, RASTER)
        view = raster_view(file, {'probability': layer}, RasterSettings(), INFO, buildings, None)
        page = write_prediction_map(file, view, Path(folder), INFO, MapSettings())
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f'{size_px} px, {len(buildings)} polygons: {seconds:.1f} s, {worked:.1f} s of the processor, '
            f'{page.stat().st_size / 1e6:.1f} MB, peak {peak_mb:.0f} MiB (before: {before_mb:.0f})',
            flush=True,
        )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('sizes', type=int, nargs='+', help='sides of the rasters')
    args = parser.parse_args()
    if len(args.sizes) == 1:
        measure(args.sizes[0])
    for size_px in args.sizes if len(args.sizes) > 1 else ():  # one process each: memory never becomes less
        subprocess.run([sys.executable, __file__, str(size_px)], check=True)  # noqa: S603 (this file)


if __name__ == '__main__':
    main()
