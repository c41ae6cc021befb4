#!/usr/bin/env python
"""Time models side by side, or check what papers claim about speed.

tools/benchmark.py timm:shvit_s4 timm:mobilevitv2_100 --size 256x256 --runtime eager onnxruntime openvino
tools/benchmark.py configs/shvit_fpn_ade20k.py@best.pth shvit_fpn.onnx --runtime eager openvino --precision fp32 bf16
tools/benchmark.py --claims --write
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import folder_to_write, image_size, number, told_in_one_line, whole_number

if TYPE_CHECKING:
    from projects.deployment.benchmark.run import Settings

ROOT = Path(__file__).resolve().parents[1]
PRECISIONS = ('fp32', 'bf16', 'fp16')
RUNTIMES = ('eager', 'traced', 'compile', 'cudagraphs', 'onnxruntime', 'openvino')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Time models side by side: latency, throughput, memory, share of the machine. An interrupted run '
        'continues where it was.'
    )
    add = parser.add_argument
    add(
        'subjects',
        nargs='*',
        metavar='SUBJECT',
        help="a config (CONFIG@CHECKPOINT for its weights), 'timm:NAME', 'torchvision:NAME', 'backbone:CLASS/ARCH', "
        'or an exported .onnx or .xml file; the first is what the others are compared with',
    )
    add('--claims', action='store_true', help='check the speed claims of the papers instead')
    add('--write', action='store_true', help='with --claims: put the table into the README')
    add('--runtime', nargs='+', choices=RUNTIMES, help='traced: fused and traced, the protocol of the authors')
    add('--precision', nargs='+', choices=PRECISIONS, default=[], help="(default: fp32, and a file's own)")
    add(
        '--size', type=image_size, default=(512, 512), metavar='HxW', help='of the images, in pixels (default: 512x512)'
    )
    add(
        '--batch-sizes',
        nargs='+',
        type=whole_number(),
        metavar='N',
        help='(default: 1 2 4 8; with --claims: as the authors)',
    )
    add('--threads', nargs='+', type=whole_number(), default=[1], metavar='N', help='of the processor (default: 1)')
    add('--device', choices=('cpu', 'cuda'), default='cpu')
    add('--channels-last', action='store_true', help='PyTorch keeps the channels of a pixel together')
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        '--seconds', type=number(above=0), help='for each model, runtime and batch size (default: 5; claims: 1.5)'
    )
    length.add_argument('--rounds', type=whole_number(), help='a fixed number of rounds instead')
    add('--no-memory', action='store_true', help='do not measure peak memory, which opens every model once more')
    add('--out', type=folder_to_write, help='folder of results (default: work_dirs/benchmark, work_dirs/speed_claims)')
    args = parser.parse_args(arguments)
    if bool(args.subjects) == args.claims:
        parser.error('name one SUBJECT at least, or --claims alone')
    if args.write and not args.claims:
        parser.error('--write belongs to --claims')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Measure, then print and write the results."""
    args = parse_args(arguments)
    with told_in_one_line('benchmark', 'stopped; the same command continues'):
        import_networks()
        (check_claims if args.claims else compare)(args)


def compare(args: argparse.Namespace) -> None:
    """Time the subjects."""
    from rich.console import Console

    from projects.deployment.benchmark.chart import write_chart
    from projects.deployment.benchmark.report import caption, markdown, rich_table, rows_of
    from projects.deployment.benchmark.results import Results
    from projects.deployment.benchmark.run import question_of, run_benchmark
    from projects.deployment.benchmark.subjects import open_subject
    from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms

    settings = settings_of(args, ('eager', 'onnxruntime', 'openvino'), (1, 2, 4, 8), 5.0)
    out = args.out or Path('work_dirs/benchmark')
    out.mkdir(parents=True, exist_ok=True)
    results = Results(out / 'results.json', question_of(args.subjects, args.size, settings))
    with progress() as note:
        subjects = [open_subject(text, args.size, fold_batch_norms) for text in args.subjects]
        run_benchmark(subjects, settings, results, note)
    rows = rows_of(results)
    write_text(out / 'table.md', markdown(results))
    write_chart(rows, title_of(results.data), out / 'chart.png')
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(rich_table(rows))
    console.print(caption(results.data), highlight=False)
    print(f'wrote {out}/results.json, table.md and chart.png')


def check_claims(args: argparse.Namespace) -> None:
    """Measure the claims, group after group."""
    from projects.deployment.model_table.table import replace_table
    from projects.deployment.speed_claims.report import render_claims
    from projects.deployment.speed_claims.run import run_claims
    from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms

    settings = settings_of(args, ('eager', 'traced', 'onnxruntime', 'openvino'), (), 1.5)
    out = args.out or Path('work_dirs/speed_claims')
    out.mkdir(parents=True, exist_ok=True)
    with progress() as note:
        results = run_claims(out / 'results.json', settings, fold_batch_norms, note)
    table = render_claims(results)
    write_text(out / 'table.md', table)
    print(table)
    if args.write:
        replace_table(ROOT / 'README.md', table, 'speed claims')
        print(f'wrote {ROOT / "README.md"}')


def settings_of(
    args: argparse.Namespace, runtimes: tuple[str, ...], batch_sizes: tuple[int, ...], seconds: float
) -> 'Settings':
    """Read the settings, with defaults for what is not given."""
    from projects.deployment.benchmark.run import Settings

    return Settings(
        runtimes=tuple(args.runtime or runtimes),
        precisions=tuple(args.precision),
        batch_sizes=tuple(args.batch_sizes or batch_sizes),
        threads=tuple(args.threads),
        device=args.device,
        seconds=None if args.rounds else args.seconds or seconds,
        rounds=args.rounds,
        channels_last=args.channels_last,
        memory=not args.no_memory,
    )


def import_networks() -> None:
    """Register the project's networks, and those that they replace in OpenMMLab; mmengine only warns from now on."""
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.utils import import_modules_from_strings

    MMLogger.get_current_instance().setLevel('WARNING')
    base = Config.fromfile(ROOT / 'configs/_base_/segmentation_runtime.py')
    import_modules_from_strings(**base.custom_imports)


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show what is being done, how far it is and how long it will take, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn('{task.description}'),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task('loading', total=1.0)

        def note(doing: str, done: float) -> None:
            if bar.tasks[task].description != doing:
                bar.reset(task, description=doing, total=1.0)
            bar.update(task, completed=done)

        yield note


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole."""
    from projects.storage.atomic_files import replacing

    with replacing(path) as temporary:
        temporary.write_text(f'{text}\n', encoding='utf-8')


def title_of(data: dict[str, Any]) -> str:
    """Return the chart's title: machine, threads, image size, date."""
    question, machine = data['question'], data['machine']
    device = machine['gpu'] if question['device'] == 'cuda' else machine['processor']
    threads = ' and '.join(map(str, question['threads']))
    plural = 's' if threads != '1' else ''
    return f'{device}, {threads} thread{plural}, images of {"x".join(map(str, question["size"]))}, {data["begun"][:10]}'


if __name__ == '__main__':
    main()
