#!/usr/bin/env python
"""Export a model for ONNX Runtime or OpenVINO, verified against PyTorch.

tools/export.py configs/shvit_fpn_ade20k.py work_dirs/shvit_fpn_ade20k/iter_40000.pth --format openvino --precision bf16
tools/export.py configs/shvit_maskrcnn_coco.py epoch_12.pth --format onnx --dynamic --images photos/
tools/export.py configs/shvit_fpn_ade20k.py iter_400.pth --format openvino --precision int8 --sample --scores

Exit codes: 0 the file and what describes it (FILE.json, .md, .png, .stac.json) are written, 1 nothing is: it deviates,
or cannot be made.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import (
    DEFAULT_QUANTIZER,
    EXPORTED_PRECISIONS,
    OUTPUTS,
    QUANTIZERS,
    ConfigOptions,
    Parser,
    file_to_write,
    image_size,
    number,
    told_in_one_line,
    whole_number,
)
from projects.reporting.number_format import file_size, fixed, three_digits


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Export a model, verified against PyTorch.')
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config file')
    add('checkpoint', metavar='CHECKPOINT', help='weights of the whole model')
    add('--format', choices=['onnx', 'openvino'], help='of the file; need not be named with --for')
    add('--for', choices=['qgis'], default='', dest='made_for', help='an ONNX file for the plugin Deepness and geodeep')
    add('--resolution-cm', type=number(above=0), help='centimetres per pixel on the ground (default: as the data say)')
    add('--precision', choices=EXPORTED_PRECISIONS, default='fp32', help='default: fp32')
    add('--dynamic', action='store_true', help='leave height, width and number of images open')
    add('--size', type=image_size, metavar='HxW', help="fixed height and width (default: the recipe's)")
    add('--batch-size', type=whole_number(), help='fixed number of images per call (default: 1)')
    add(
        '--output',
        choices=OUTPUTS,
        default=OUTPUTS[0],
        help='of a segmentor; logits are resized outside of the file, which is the fastest',
    )
    add(
        '--max-proposals',
        type=whole_number(),
        metavar='N',
        help='that a two-stage detector looks at: fewer are faster and find less, which --scores says '
        "(default: the recipe's)",
    )
    add('--images', nargs='+', default=[], metavar='PATH', help='to verify with (default: of the test set)')
    add(
        '--calibration',
        nargs='+',
        default=[],
        metavar='PATH',
        help='images, folders, globs, or a config, to calibrate int8 with (default: the training set)',
    )
    add('--quantizer', choices=QUANTIZERS, default=DEFAULT_QUANTIZER, help=f'of int8 (default: {DEFAULT_QUANTIZER})')
    add(
        '--bits',
        type=whole_number(),
        choices=[8, 6, 4],
        default=8,
        help='of int8: 6 and 4 round more coarsely, as fast as 8',
    )
    add('--reconstruct', action='store_true', help='of int8: learn which way weights are rounded')
    add(
        '--weight-bits',
        type=whole_number(),
        choices=[8, 7],
        help='of int8: 7 also for processors without VNNI, whose sums saturate (default: what is exact on this one)',
    )
    add('--license', default='', metavar='NAME', help='of the weights, as the model card says it, such as apache-2.0')
    add('--scores', action='store_true', help='score the test set before and after')
    add('--push-to-hub', metavar='USER/NAME', help='push the file and what describes it to the Hugging Face Hub')
    add('--sample', action='store_true', help='use the small generated data set')
    add('--out', type=file_to_write, metavar='FILE', help='default: work_dirs/CONFIG/CONFIG_PRECISION.onnx, .xml')
    add('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override the config')
    args = parser.parse_args(arguments)
    if args.format is None:
        if not args.made_for:
            parser.error('the following arguments are required: --format, or --for')
        args.format = 'onnx'
    return args


def main(arguments: list[str] | None = None) -> None:
    """Export, and print what was found."""
    args = parse_args(arguments)
    with told_in_one_line('export') as outcome:
        from projects.deployment.export.report import write_report
        from projects.deployment.export.settings import ExportSettings
        from projects.deployment.export.verification import DeviationError
        from projects.deployment.export.verified_export import export
        from projects.deployment.runtimes.descriptions import FORMATS
        from projects.sample_data import use_sample
        from projects.training.config import load_config
        from projects.training.launch import set_up

        settings = ExportSettings(
            format=args.format,
            precision=args.precision,
            dynamic=args.dynamic,
            size=args.size,
            batch_size=args.batch_size,
            output=args.output,
            images=tuple(args.images),
            calibration=tuple(args.calibration),
            with_scores=args.scores,
            quantizer=args.quantizer,
            bits=args.bits,
            reconstruct=args.reconstruct,
            made_for=args.made_for,
            license=args.license,
            max_proposals=args.max_proposals,
            gsd_m=args.resolution_cm and args.resolution_cm / 100,
            **({'weight_bits': args.weight_bits} if args.weight_bits else {}),
        )
        if args.push_to_hub:  # before hours of work
            from projects.deployment.hub import Address, push_to_hub

            Address.parse(f'hf://{args.push_to_hub}')
        cfg = load_config(args.config, args.cfg_options, use_sample if args.sample else None)
        set_up(cfg, args.out and args.out.parent)
        name = f'{Path(cfg.filename).stem}_{args.made_for or args.precision}{FORMATS[args.format]}'
        try:
            exported = export(cfg, args.checkpoint, args.out or Path(cfg.work_dir, name), settings, print)
        except DeviationError as error:
            sys.exit(f'export: nothing was written, the export does not say what the network says: {error}')
        reports = write_report(exported)
        latency_ms = exported.latency_ms
        outcome.wrote(
            exported.path,
            *reports,
            verification=exported.verification,
            file_bytes=exported.file_bytes,
            latency_ms=latency_ms,
            scores=exported.scores,
        )
        print(exported.verification)
        if exported.quantization is not None:
            print(exported.quantization)
        for metric, before in exported.scores.get('pytorch', {}).items():
            print(f'{metric}: {before:.4g} before, {exported.scores["exported"].get(metric, float("nan")):.4g} after')
        print(
            f'{three_digits(latency_ms["pytorch"])} ms in PyTorch, {three_digits(latency_ms["exported"])} ms exported '
            f'({fixed(latency_ms["pytorch"] / latency_ms["exported"], 2)} times as fast)'
        )
        print(f'wrote {exported.path} ({file_size(exported.file_bytes)}), {", ".join(map(str, reports))}')
        if args.push_to_hub:
            pushed = push_to_hub(exported.path, args.push_to_hub)
            outcome.wrote(pushed=pushed)
            print(f'pushed {pushed}')


if __name__ == '__main__':
    main()
