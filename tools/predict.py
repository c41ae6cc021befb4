#!/usr/bin/env python
"""Predict images, folders, globs, videos and GeoTIFFs.

tools/predict.py configs/shvit_maskrcnn_coco.py photos/ --checkpoint epoch_12.pth --out predictions
tools/predict.py model.onnx 'drone/**/*.jpg' film.mp4 --out predictions --resume
tools/predict.py buildings.xml city.tif --out predictions --polygons gpkg --regularise
torchrun --nproc-per-node 8 tools/predict.py model.onnx photos/ --out predictions

Exit codes: 0 all was predicted, 1 some inputs could not be (they are listed, all others are done) or nothing was begun.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import ConfigOptions, Parser, folder_to_write, number, told_in_one_line, whole_number
from projects.deployment.runtimes import PRECISIONS, RUNTIMES


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Predict images, folders, globs, videos and GeoTIFFs.')
    add = parser.add_argument
    add('model', metavar='MODEL', help='config (.py), or exported file (.onnx, .xml)')
    add('inputs', metavar='INPUT', nargs='+', help='image, folder, quoted glob, video, or raster')
    add('--checkpoint', metavar='FILE', help='weights, of a config')
    add('--out', metavar='DIR', type=folder_to_write, required=True, help='folder of the results')
    add('--write', nargs='+', help='of overlays, masks, coco (detectors), shares (segmentors); default: all that apply')
    add('--score-threshold', type=number(0, 1), default=0.3, help='weaker detections are left out (default: 0.3)')
    add('--batch-size', type=whole_number(), default=1, help='images of equal size at once (default: 1)')
    add('--resume', action='store_true', help='go on where a run was stopped')
    add('--runtime', choices=RUNTIMES, help='default: by the file name of MODEL')
    add('--device', default='cpu', help='cpu or cuda (default: cpu)')
    add('--precision', choices=PRECISIONS, help='to compute in (default: what MODEL was made for)')
    add('--threads', type=whole_number(), help="of the processor (default: the runtime's choice)")
    add('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override the config')
    raster = parser.add_argument_group('rasters').add_argument
    raster('--window', type=whole_number(), default=512, help='side of the windows in pixels (default: 512)')
    raster('--overlap', type=whole_number(0), help='of windows, in pixels (default: an eighth or quarter of a window)')
    raster('--bands', type=whole_number(), nargs='+', help='one band, or those of red, green and blue (from 1)')
    raster('--gsd', type=number(above=0), metavar='METRES', help='resample to this ground sample distance')
    raster('--layers', nargs='+', default=[], help='of probability, labels, confidence, probabilities')
    raster('--polygons', choices=['gpkg', 'geojson', 'none'], default='gpkg', help='of buildings (default: gpkg)')
    raster('--min-area-m2', type=number(at_least=0), default=0.0, help='leave out smaller buildings (default: 0)')
    raster('--regularise', action='store_true', help='right angles')
    return parser.parse_args(arguments)


def open_model(args: argparse.Namespace) -> Any:
    """The predictor, of a config with its overrides or of an exported file."""
    import torch
    from mmengine.logging import MMLogger

    from projects.deployment.predictor import open_predictor
    from projects.training.config import load_config, locate

    model = locate(args.model)
    options = {key: getattr(args, key) for key in ('runtime', 'device', 'precision', 'threads')}
    if args.device == 'cuda' and 'LOCAL_RANK' in os.environ:
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
    if model.suffix != '.py':
        if args.cfg_options:
            raise ValueError(f'--cfg-options are for configs; {model.name} is as it was exported')
        return open_predictor(model, args.checkpoint, **options)
    if args.checkpoint is None:
        raise ValueError(f'{model.name} is a config, whose weights are random; name its --checkpoint')
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')  # mmengine tells of each weight how it was initialised
    try:
        return open_predictor(load_config(model, args.cfg_options), args.checkpoint, **options)
    finally:
        logger.setLevel(level)


def describe_identity(args: argparse.Namespace, info: Any) -> dict[str, Any]:
    """What the results depend on, for `--resume`."""
    from projects.deployment.prediction.run import digest
    from projects.training.config import locate

    model = locate(args.model)
    files = [model, model.with_suffix('.bin'), *([Path(args.checkpoint)] if args.checkpoint else [])]
    keys = ('runtime', 'precision', 'cfg_options', 'window', 'overlap', 'bands', 'gsd', 'layers')
    weights = digest(*(file for file in files if file.is_file()))
    return {'model': info.config, 'weights': weights, **{key: getattr(args, key) for key in keys}}


def predict(args: argparse.Namespace) -> tuple[Any, list[str]]:
    """Predict everything; a report, None in all processes but the first, and lines about polygons."""
    from projects.deployment.prediction.image_files import RASTER, find_inputs
    from projects.deployment.prediction.prediction_files import PredictionSettings, writable
    from projects.deployment.prediction.run import leave_processes, predict_inputs

    files = find_inputs(args.inputs, args.out)
    if any(file.kind == RASTER for file in files):  # which need the extra 'geo'
        from projects.deployment.prediction.rasters.prediction import RasterSettings, predict_raster
    predictor = open_model(args)
    possible = writable(predictor.info)
    unfit = set(args.write or ()) - set(possible)
    if unfit:
        raise ValueError(f'--write {" ".join(sorted(unfit))}: {predictor.info.task} gives {" ".join(possible)}')
    settings = PredictionSettings(tuple(args.write or possible), args.score_threshold, args.batch_size)
    identity = describe_identity(args, predictor.info)

    def predict_one_raster(file: Any, folder: Path) -> Any:
        how = RasterSettings(
            window_px=args.window,
            overlap_px=args.overlap,
            batch_size=args.batch_size,
            bands=None if args.bands is None else tuple(args.bands),
            gsd_m=args.gsd,
            layers=tuple(args.layers),
            min_score=args.score_threshold,
        )
        return predict_raster(predictor, file.path, folder, how, resume=args.resume, model_id=identity['weights'])

    options = {'identity': identity, 'resume': args.resume, 'predict_raster': predict_one_raster}
    report = predict_inputs(predictor, files, args.out, settings, **options)
    leave_processes()
    if report is None or not report.rasters or args.polygons == 'none':
        return report, []
    sources = {file.name: file.path for file in files if file.kind == RASTER}
    return report, write_polygons_of(args, predictor.info, report, sources)


def write_polygons_of(args: argparse.Namespace, info: Any, report: Any, sources: dict[str, Path]) -> list[str]:
    """Write buildings of probability rasters, or a detector's objects, as polygons; say what was written.

    A raster whose polygons cannot be written is added to the report's failures, and the others are done. One that has
    no data, or does not say where it lies, has none.
    """
    from projects.geodata.polygons.files import vectorise_raster
    from projects.geodata.polygons.vectorization import VectorizationSettings, refine_polygons
    from projects.geodata.raster_files import NoDataError, UnplacedError, open_raster
    from projects.geodata.vector_files import geopandas, write_polygons

    threshold = 0.5 if info.threshold is None else info.threshold
    settings = VectorizationSettings(threshold, args.min_area_m2, None, args.regularise)
    lines = []
    for name, layers in report.rasters.items():
        path = args.out / 'polygons' / f'{name}.{args.polygons}'
        try:
            if 'probability' in layers:
                polygons = vectorise_raster(layers['probability'], settings)
            elif 'instances' in layers:
                polygons = geopandas.read_file(layers['instances'])
                if args.min_area_m2 or args.regularise:
                    with open_raster(sources[name], gsd_m=args.gsd) as raster:
                        polygons = refine_polygons(polygons, raster.size_px, raster.transform, settings)
            else:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_polygons(polygons, path)
            lines.append(f'wrote {path}: {len(polygons)} polygons')
        except (NoDataError, UnplacedError) as error:
            lines.append(f'{name}: no polygons: {error}')
        except Exception as error:
            report.failed.append((name, f'no polygons: {type(error).__name__}: {error}'))
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Predict, and print what was written and what could not be."""
    args = parse_args(arguments)
    with told_in_one_line('predict', f'stopped; go on with --resume --out {args.out}'):
        report, lines = predict(args)
    if report is None:
        return
    speed = f', {report.images_per_s:.1f} images/s' if report.images_per_s else ''
    before = f'; {report.num_complete} were complete before' if report.num_complete else ''
    wrote = f'wrote {args.out}: {report.num_predicted} of {report.num_files} inputs{speed}{before}'
    print('\n'.join([*report.notes, *lines, wrote]))
    if report.failed:
        listed = '\n'.join(f'  {path}: {reason}' for path, reason in report.failed)
        sys.exit(f'predict: {len(report.failed)} inputs could not be predicted, or not to their end:\n{listed}')


if __name__ == '__main__':
    main()
