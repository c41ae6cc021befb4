"""What a study leaves for people: results.json, results.md, charts, and one HTML file that holds all of it."""

from pathlib import Path

from matplotlib.figure import Figure

from projects.reporting.figures import png
from projects.reporting.markdown import Part, bullets, document
from projects.storage.atomic_files import write_file

from .charts import draw_axis, draw_bars, draw_learning_curves
from .completeness import failed_runs, gaps, last_line, missing_runs
from .doubts import doubts
from .page import results_html
from .panels import draw_panels, tile_views
from .records import Results
from .results import read_results, write_results
from .tables import axis_table, cost_table, equal_steps_tables, misalignment_table, score_tables, tuning_table
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
    write_file(folder / 'results.md', results_markdown(results))
    pictures = {
        'f1_per_height_class': _picture(draw_bars(results)),
        'learning_curves': _picture(draw_learning_curves(results)),
        **{f'f1_by_{axis.name}': _picture(draw_axis(results, axis)) for axis in results.study.axes},
        'panels': _picture(draw_panels(results, folder)),
    }
    (folder / 'charts').mkdir(exist_ok=True)
    for name, picture in pictures.items():
        path = folder / 'charts' / f'{name}.png'
        if picture is None:
            path.unlink(missing_ok=True)
        else:
            write_file(path, picture)
    write_file(folder / 'report.html', results_html(results, pictures, tile_views(results, folder)))
    return folder / 'report.html'


def results_markdown(results: Results) -> str:
    """Return verdict and tables as Markdown."""
    study, verdict = results.study, judge_study(results)
    failed = [f'{run.name} failed: {last_line(run.error)}' for run in failed_runs(results)]
    parts: list[Part] = [f'# {study.title}', *doubts(results), *gaps(results)]
    parts += ['## Verdict', f'**{verdict.answer}**', *verdict.tables[:1], verdict.rule, CLAIM, *verdict.tables[1:]]
    parts += ['## At equal steps', *equal_steps_tables(results)]
    parts += ['## Scores', *score_tables(results)]
    for axis in study.axes:
        parts += [f'## By {axis.title}', axis_table(results, axis)]
    parts += ['## Label misalignment', misalignment_table(study)]
    parts += ['## Trials', tuning_table(results)]
    parts += ['## Cost', cost_table(results)]
    parts += ['## Runs without a result', bullets([*failed, *missing_runs(results)])]
    return document(parts) + '\n'


def _picture(figure: Figure | None) -> bytes | None:
    return None if figure is None else png(figure)
