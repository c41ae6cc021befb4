"""What a study leaves for people: results.json, results.md, charts, and one HTML file that holds all of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from projects.reporting.figures import png
from projects.reporting.tables import Table

from .charts import draw_angles, draw_bars, draw_learning_curves
from .completeness import failed_runs, gaps, last_line, missing_runs
from .page import results_html
from .panels import draw_panels
from .records import Results
from .results import read_results, write_atomically, write_results
from .tables import angle_table, cost_table, misalignment_table, score_tables
from .verdict import CLAIM, judge_study


def write_report(folder: Path) -> Path:
    """Write `results.json`, `results.md`, `charts/*.png` and `report.html` of a study, finished or not.

    The tables are written before anything is drawn.

    Args:
        folder: The study's, with `study.json` and its runs.

    Returns:
        The HTML file.

    Raises:
        FileNotFoundError: If there is no `study.json`, or a picture of a panel is missing.
        ValueError: If a mask is not what it should be.
    """
    results = read_results(folder)
    write_results(results, folder / 'results.json')
    write_atomically(folder / 'results.md', results_markdown(results).encode())
    pictures = {
        'f1_per_height_class': _picture(draw_bars(results)),
        'learning_curves': _picture(draw_learning_curves(results)),
        'f1_by_off_nadir_angle': _picture(draw_angles(results)),
        'panels': _picture(draw_panels(results, folder)),
    }
    for name, picture in pictures.items():
        path = folder / 'charts' / f'{name}.png'
        if picture is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, picture)
    write_atomically(folder / 'report.html', results_html(results, pictures).encode())
    return folder / 'report.html'


def results_markdown(results: Results) -> str:
    """Return verdict and tables as Markdown."""
    study = results.study
    verdict = judge_study(results)
    blocks = [f'# {study.title}', *gaps(results)]
    blocks += ['## Verdict', f'**{verdict.answer}**']
    blocks += [*_bullets(verdict.findings), verdict.rule, CLAIM, *_markdown(verdict.tables)]
    blocks += ['## Scores', *_markdown(score_tables(results))]
    blocks += ["## By the source's off-nadir angle", *_markdown([angle_table(results)])]
    blocks += ['## Label misalignment', *_markdown([misalignment_table(study)])]
    blocks += ['## Cost', *_markdown([cost_table(results)])]
    lines = [f'{run.name} failed: {last_line(run.error)}' for run in failed_runs(results)]
    blocks += ['## Runs without a result', *_bullets([*lines, *missing_runs(results)])]
    return '\n\n'.join(_without_empty_sections(blocks)) + '\n'


def _picture(figure: Figure | None) -> bytes | None:
    return None if figure is None else png(figure)


def _bullets(texts: Sequence[str]) -> list[str]:
    return ['\n'.join(f'- {text}' for text in texts)] if texts else []


def _markdown(tables: Iterable[Table | None]) -> list[str]:
    return [table.markdown() for table in tables if table is not None]


def _without_empty_sections(blocks: Sequence[str]) -> list[str]:
    following = [*blocks[1:], '## ']
    return [
        block
        for block, after in zip(blocks, following, strict=True)
        if not (block.startswith('## ') and after.startswith('## '))
    ]
