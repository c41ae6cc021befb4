"""A segmentor's file for QGIS in geodeep, beside what `tools/predict.py` gives with it.

python tools/benchmarks/geodeep.py MODEL_qgis.onnx TILES/images --python GEODEEP_ENVIRONMENT/bin/python

geodeep (AGPL) is in an environment of its own: `python -m venv DIR && DIR/bin/pip install geodeep`. A square raster of
the first tiles is predicted by both. geodeep ends with a median of 5 x 5 pixels; ours is compared without and with it.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

from projects.deployment.prediction.command import ModelChoice, predict
from projects.deployment.prediction.prediction_files import PredictionSettings
from projects.deployment.prediction.rasters.settings import RasterSettings
from projects.deployment.predictor import open_predictor
from projects.geodata.raster_files import open_raster
from projects.geodata.raster_writing import write_geotiff

IN_GEODEEP = 'import sys, numpy, geodeep; numpy.save(sys.argv[3], geodeep.segment(sys.argv[2], sys.argv[1], "raw"))'
MEDIAN_PX = 5


def write_mosaic(folder: Path, side: int, gsd_m: float, path: Path) -> None:
    """Side x side tiles of a folder, the first by name, as one raster."""
    files = sorted(folder.iterdir())[: side**2]
    if len(files) < side**2:
        raise SystemExit(f'{folder} has {len(files)} tiles, fewer than {side} x {side}: choose a lower --side')
    tiles = [cv2.imread(str(file))[..., ::-1] for file in files]
    rows = [np.hstack(tiles[start : start + side]) for start in range(0, side**2, side)]
    write_geotiff(path, np.vstack(rows), (gsd_m, 0, 5e5, 0, -gsd_m, 5e6), 'EPSG:32633')


def agreement(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Equal pixels and the IoU of what is not background."""
    found = (ours > 0) & (theirs > 0)
    return (
        f'{(ours == theirs).mean():.3%} of the pixels equal, IoU {found.sum() / ((ours > 0) | (theirs > 0)).sum():.4f}'
    )


def main(arguments: list[str] | None = None) -> None:
    """Predict the raster by both, and print how far they agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', type=Path)
    parser.add_argument('tiles', type=Path, help='folder of images of one size')
    parser.add_argument('--python', required=True, help='of an environment that has geodeep')
    parser.add_argument('--side', type=int, default=8, help='tiles of a row (default: 8)')
    args = parser.parse_args(arguments)
    info = open_predictor(args.model).info
    assert info.gsd_m is not None
    assert info.input_size is not None
    with tempfile.TemporaryDirectory() as folder:
        raster, out, theirs = (Path(folder, name) for name in ('mosaic.tif', 'out', 'geodeep.npy'))
        write_mosaic(args.tiles, args.side, info.gsd_m, raster)
        subprocess.run([args.python, '-c', IN_GEODEEP, str(args.model), str(raster), str(theirs)], check=True)  # noqa: S603
        settings = RasterSettings(window_px=info.input_size[0], layers=('labels',))
        predict(ModelChoice(str(args.model)), [str(raster)], out, PredictionSettings((), rasters=settings))
        with open_raster(next((out / 'rasters').glob('*labels.tif')), as_stored=True, bands=(1,)) as labels:
            ours = labels.read(0, 0, *labels.size_px)[0]
        ours = ours[..., 0] if ours.ndim == 3 else ours
        found = np.load(theirs)
    print(f'{found.shape[1]} x {found.shape[0]} px: {agreement(ours, found)}')
    print(f'after the same median: {agreement(cv2.medianBlur(ours.astype(np.uint8), MEDIAN_PX), found)}')


if __name__ == '__main__':
    main()
