"""A benchmark as it is typed: models by their names, and in the end a table, a chart and a file of all times."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.utils import import_modules_from_strings
from rich.console import Console

from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms
from projects.reporting.number_format import counted
from projects.reporting.progress import progress_bars
from projects.reporting.tables import LOG_WIDTH
from projects.storage.atomic_files import write_file
from projects.storage.locations import locate

from ..runtimes.torch_session import check_device
from .chart import write_chart
from .layers import layer_tables
from .report import caption, markdown, rows_of, table_of
from .results import Results
from .run import Settings, question_of, run_benchmark
from .subjects import open_subject

REGISTERING = 'configs/_base_/segmentation_runtime.py'  # imports all networks


def compare(
    texts: Sequence[str], size: tuple[int, int], given: dict[str, Any], out: Path | None = None, layers: int = 0
) -> Path:
    """Time models side by side; print the table, and write it beside a chart and all times.

    Args:
        texts: Models, see `open_subject`; the first is what the others are compared with.
        size: Height and width of the images in pixels.
        given: What differs from the `Settings.usual` of the device.
        out: Folder; None: `work_dirs/benchmark`.
        layers: How many of the slowest layers of OpenVINO's cases are shown; 0: they are not timed.

    Returns:
        The file of all times.

    Raises:
        FileNotFoundError: There is no such file.
        UsageError: There is no GPU.
        ValueError: There is no such model, or none of them can be timed.
    """
    import_networks()
    out = out or Path('work_dirs/benchmark')
    out.mkdir(parents=True, exist_ok=True)
    device = given.get('device', 'cpu')
    check_device(device, 'fp32')
    settings = replace(Settings.usual(device), **given, layers=layers > 0)
    results = Results(out / 'results.json', question_of(texts, size, settings))
    with progress() as note:
        subjects = [open_subject(text, size, fold_batch_norms) for text in texts]
        run_benchmark(subjects, settings, results, note)
    rows = rows_of(results)
    write_file(out / 'table.md', markdown(results, layers) + '\n')
    write_chart(rows, title_of(results.data), out / 'chart.png')
    console = Console() if sys.stdout.isatty() else Console(width=LOG_WIDTH)
    console.print(table_of(rows).rich(grouped=True))
    console.print(caption(results.data), highlight=False)
    for table in layer_tables(results.data, layers):
        console.print(table.caption, highlight=False)
        console.print(table.rich())
    print(f'wrote {out}/results.json, table.md and chart.png')
    return out / 'results.json'


def import_networks() -> None:
    """Register the project's networks, and those that they replace in OpenMMLab; mmengine only warns from now on."""
    MMLogger.get_current_instance().setLevel('WARNING')
    import_modules_from_strings(**Config.fromfile(locate(REGISTERING)).custom_imports)


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show what is being done, how far it is and how long it will take, on a terminal."""
    with progress_bars() as bars:
        task = bars.add_task('loading', total=100)

        def note(doing: str, done: float) -> None:
            if bars.tasks[task].description != doing:
                bars.reset(task, description=doing)
            bars.update(task, completed=100 * done)

        yield note


def title_of(data: dict[str, Any]) -> str:
    """The chart's title: machine, threads, image size, date."""
    question, machine = data['question'], data['machine']
    device = machine['gpu'] if question['device'] == 'cuda' else machine['processor']
    *others, threads = question['threads']
    threads = ' and '.join([*map(str, others), counted(threads, 'thread')])
    return f'{device}, {threads}, images of {"x".join(map(str, question["size"]))}, {data["begun"][:10]}'
