#!/usr/bin/env python
"""Predict images, folders, globs, videos and GeoTIFFs.

tools/predict.py configs/shvit_maskrcnn_coco.py photos/ --checkpoint epoch_12.pth --out predictions
tools/predict.py model.onnx 'drone/**/*.jpg' film.mp4 --out predictions --resume
tools/predict.py buildings.xml city.tif --out predictions --polygons gpkg --regularise --html
torchrun --nproc-per-node 8 tools/predict.py model.onnx photos/ --out predictions
tools/predict.py model.onnx city.tif --out shared/predictions --part 0/4   (to 3/4, on any machines, then --join)

Exit codes: 0 all was predicted, 1 some inputs could not be (they are listed, all others are done) or nothing was begun,
2 the options do not go together.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import (
    POLYGON_FORMATS,
    PRECISIONS,
    RUNTIMES,
    ConfigOptions,
    Parser,
    command_of,
    folder_to_write,
    number,
    told_in_one_line,
    whole_number,
)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Predict images, folders, globs, videos and GeoTIFFs.')
    add = parser.add_argument
    add('model', metavar='MODEL', help='config (.py), exported file (.onnx, .xml) or hf://USER/NAME')
    add('inputs', metavar='INPUT', nargs='+', help='image, folder, quoted glob, video, raster, https://..., STAC item')
    add('--checkpoint', metavar='FILE', help='weights, of a config')
    add('--out', metavar='DIR', type=folder_to_write, required=True, help='folder of the results')
    kinds = (
        'of overlays, masks, coco (detectors), shares (segmentors; default: all that apply), label-studio (detectors)'
    )
    add('--write', nargs='+', help=kinds)
    add('--score-threshold', type=number(0, 1), default=0.3, help='weaker detections are left out (default: 0.3)')
    add('--batch-size', type=whole_number(), default=1, help='images of equal size at once (default: 1)')
    how = parser.add_mutually_exclusive_group().add_argument
    how('--resume', action='store_true', help='go on where a run was stopped')
    how('--part', metavar='I/N', help='of N (0/N to N-1/N) on machines that share DIR; auto: as an array job says')
    how('--join', action='store_true', help='make the results of all parts')
    add('--runtime', choices=RUNTIMES, help='default: by the file name of MODEL')
    add('--device', default='cpu', help='cpu or cuda (default: cpu)')
    add('--precision', choices=PRECISIONS, help='to compute in (default: what MODEL was made for)')
    add('--threads', type=whole_number(), help="of the processor (default: the runtime's choice)")
    add('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override the config')
    add('--html', action='store_true', help='maps to look around on, a page of its own for each image and raster')
    add('--html-mb', type=number(above=0), default=10.0, metavar='MB', help='largest size of such a page (default: 10)')
    raster = parser.add_argument_group('rasters').add_argument
    raster('--window', type=whole_number(), default=512, help='side of the windows in pixels (default: 512)')
    raster('--overlap', type=whole_number(0), help='of windows, in pixels (default: an eighth or quarter of a window)')
    raster('--bands', type=whole_number(), nargs='+', help='one band, or those of red, green and blue (from 1)')
    raster('--gsd', type=number(above=0), metavar='METRES', help='resample to this ground sample distance')
    raster('--bbox', type=number(), nargs=4, metavar=('W', 'S', 'E', 'N'), help='only this part, in degrees')
    raster('--asset', metavar='NAME', help='of STAC items (default: visual, or the only image)')
    raster('--hosts', nargs='+', default=[], help='that items and VRTs may read from, besides those of addresses')
    raster('--layers', nargs='+', default=[], help='of probability, labels, confidence, probabilities')
    raster('--polygons', choices=[*POLYGON_FORMATS, 'none'], default='gpkg', help='of buildings (default: gpkg)')
    raster('--min-area-m2', type=number(at_least=0), default=0.0, help='leave out smaller buildings (default: 0)')
    raster('--regularise', action='store_true', help='right angles')
    args = parser.parse_args(arguments)
    args.command = [*command_of('predict'), *(sys.argv[1:] if arguments is None else arguments)]
    return args


def predict(args: argparse.Namespace) -> Any:
    """Predict everything; a report, None in all processes but the first."""
    from projects.deployment.prediction.command import ModelChoice, predict
    from projects.deployment.prediction.parts import find_part
    from projects.deployment.prediction.prediction_files import PredictionSettings
    from projects.deployment.prediction.rasters.settings import MapSettings, PolygonSettings, RasterSettings

    choice = ModelChoice(
        args.model, args.checkpoint, args.runtime, args.device, args.precision, args.threads, args.cfg_options
    )
    rasters = RasterSettings(
        window_px=args.window,
        overlap_px=args.overlap,
        bands=None if args.bands is None else tuple(args.bands),
        gsd_m=args.gsd,
        layers=tuple(args.layers),
    )
    polygons = None
    if args.polygons != 'none':
        polygons = PolygonSettings(args.polygons, args.min_area_m2, args.regularise)
    maps = None
    if args.html:
        named = ' '.join(filter(None, [args.model, args.checkpoint]))
        maps = MapSettings(named, shlex.join(args.command), args.html_mb)
    settings = PredictionSettings(
        tuple(args.write or ()),
        args.score_threshold,
        args.batch_size,
        rasters=rasters,
        polygons=polygons,
        maps=maps,
    )
    part = None if args.part is None else find_part(args.part)
    source = None
    if args.bbox or args.asset or args.hosts:
        from projects.geodata.remote_rasters import SourceChoice

        source = SourceChoice(args.asset, args.bbox and tuple(args.bbox), tuple(args.hosts))
    return predict(
        choice, args.inputs, args.out, settings, resume=args.resume, part=part, join=args.join, source=source
    )


def main(arguments: list[str] | None = None) -> None:
    """Predict, and print what was written and what could not be."""
    args = parse_args(arguments)
    with told_in_one_line('predict', f'stopped; go on with --resume --out {args.out}') as outcome:
        report = predict(args)
        if report is None:
            return
        outcome.wrote(args.out, **vars(report))
        if args.part is not None:
            print(report.as_text())
        else:
            print(report.as_text(args.out, shlex.join(word for word in args.command if word != '--join')))
        if report.failed:
            listed = '\n'.join(f'  {path}: {reason}' for path, reason in report.failed)
            sys.exit(f'predict: {len(report.failed)} inputs could not be predicted, or not to their end:\n{listed}')


if __name__ == '__main__':
    main()
