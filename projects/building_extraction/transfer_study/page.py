"""The report as one HTML page that needs nothing else: no files, no network."""

from collections.abc import Sequence
from pathlib import Path

from projects.reporting.maps import MapView
from projects.reporting.pages import render_page

from .completeness import failed_runs, gaps, last_line, missing_runs
from .doubts import doubts
from .records import Results
from .tables import (
    axis_table,
    cost_table,
    equal_steps_tables,
    misalignment_table,
    parameter_table,
    score_tables,
    setting_table,
    tuning_table,
)
from .verdict import CLAIM, judge_study

MAX_ERROR_CHARACTERS = 8000


def results_html(results: Results, pictures: dict[str, bytes | None], tiles: Sequence[MapView] = ()) -> str:
    """Return the report as one page that needs nothing else.

    Args:
        results: Of `read_results`.
        pictures: PNG by name: f1_per_height_class, learning_curves, panels and f1_by_AXIS; None for none.
        tiles: Views of a map.
    """
    study = results.study
    return render_page(
        Path(__file__).with_suffix('.html'),
        study.title,
        gaps=[*doubts(results), *gaps(results)],
        methods={method.title: method.description for method in study.methods},
        settings=setting_table(study),
        claim=CLAIM,
        verdict=judge_study(results),
        pictures=pictures,
        tiles=tiles,
        equal_steps=equal_steps_tables(results),
        scores=score_tables(results),
        axes=[(axis, axis_table(results, axis), pictures.get(f'f1_by_{axis.name}')) for axis in study.axes],
        misalignment=misalignment_table(study),
        trials=tuning_table(results),
        costs=cost_table(results),
        parameters=parameter_table(study),
        failed=[(f'{run.name} failed: {last_line(run.error)}', _end(run.error)) for run in failed_runs(results)],
        missing=missing_runs(results),
        replicates=study.replicates,
    )


def _end(text: str) -> str:
    left_out = len(text) - MAX_ERROR_CHARACTERS
    return text if left_out <= 0 else f'[the first {left_out} characters are left out]\n{text[left_out:]}'
