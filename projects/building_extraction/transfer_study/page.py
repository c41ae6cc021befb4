"""The report as one HTML page that needs nothing else: no scripts, no files, no network."""

from pathlib import Path

from projects.reporting.pages import render_page

from .baselines import doubts
from .completeness import failed_runs, gaps, last_line, missing_runs
from .records import Results
from .tables import angle_table, cost_table, domain_table, misalignment_table, parameter_table, score_tables
from .verdict import CLAIM, judge_study

MAX_ERROR_CHARACTERS = 8000


def results_html(results: Results, pictures: dict[str, bytes | None]) -> str:
    """Return the report as one page that needs nothing else.

    Args:
        results: Of `read_results`.
        pictures: PNG by name: f1_per_height_class, learning_curves, f1_by_off_nadir_angle, panels; None for none.
    """
    study = results.study
    return render_page(
        Path(__file__).with_suffix('.html'),
        study.title,
        gaps=[*gaps(results), *doubts(results)],
        methods={method.title: method.description for method in study.methods},
        domains=domain_table(study),
        claim=CLAIM,
        verdict=judge_study(results),
        pictures=pictures,
        scores=[*score_tables(results), cost_table(results)],
        angles=[table for table in (angle_table(results), misalignment_table(study)) if table is not None],
        parameters=parameter_table(study),
        failed=[(f'{run.name} failed: {last_line(run.error)}', _end(run.error)) for run in failed_runs(results)],
        missing=missing_runs(results),
        seeds=', '.join(map(str, study.seeds)),
    )


def _end(text: str) -> str:
    left_out = len(text) - MAX_ERROR_CHARACTERS
    return text if left_out <= 0 else f'[the first {left_out} characters are left out]\n{text[left_out:]}'
