"""The report as one HTML page that needs nothing else: no scripts, no files, no network."""

import base64
import html
from collections.abc import Iterable
from typing import Any

from .completeness import failed_runs, gaps, last_line, missing_runs
from .results import method_titles, study_title
from .tables import (
    Table,
    angle_table,
    cost_table,
    domain_table,
    misalignment_table,
    parameter_table,
    score_tables,
)
from .verdict import CLAIM, judge_study

MAX_ERROR_CHARACTERS = 8000
COMMAND = 'python tools/transfer_study.py CONFIG'
CSS = """\
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 75rem; margin: 0 auto;
  padding: 1rem 1.5rem 4rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; padding-bottom: .3rem; }
p, li { max-width: 50rem; } nav a { margin-right: 1rem; }
.answer { font-size: 1.15rem; background: #f0f5fa; border-left: 4px solid #0072b2; padding: .8rem 1rem; }
.partial { background: #fff5e0; border-left: 4px solid #e69f00; padding: .6rem 1rem; }
.wide { overflow-x: auto; margin: 1.2rem 0; } table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #e5e5e5; text-align: right; }
td { font-variant-numeric: tabular-nums; }
th[scope=row], th:first-child { text-align: left; font-weight: 500; } thead th { border-bottom: 2px solid #999; }
td.best { font-weight: 700; } .text td { text-align: left; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #555; font-size: .9rem; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: .8rem; }
"""


def results_html(results: dict[str, Any], pictures: dict[str, bytes | None]) -> str:
    """Return the report as one page that needs nothing else.

    Args:
        results: Of `read_results`.
        pictures: PNG by name: f1_per_height_class, learning_curves, f1_by_off_nadir_angle, panels; None for none.
    """
    study = results['study']
    name = study_title(study)
    sections = {
        'What was asked': _question(study),
        'Verdict': _verdict(results),
        'Scores': [
            _figure(
                'F1 per height class: mean, sample standard deviation, each seed a dot.',
                pictures,
                'f1_per_height_class',
            ),
            *(table.html() for table in score_tables(results)),
            cost_table(results).html(),
        ],
        'Learning curves': [
            _figure(
                'Mean over seeds, band of one standard deviation. Losses of different methods have different terms.',
                pictures,
                'learning_curves',
            )
        ],
        'Off-nadir angle of the source': [
            _figure(
                'Mean over seeds, band of one standard deviation; dashed: no source used.',
                pictures,
                'f1_by_off_nadir_angle',
            ),
            *_html([angle_table(results), misalignment_table(study)]),
        ],
        'Pictures': [_figure('Test tiles that no method has learnt from, one seed per method.', pictures, 'panels')],
        'Parameters': [f'<div class="text">{parameter_table(study).html()}</div>'],
        'Runs without a result': _unfinished(results),
        'How to reproduce': _reproduction(study),
    }
    links = ''.join(f'<a href="#{_anchor(title)}">{html.escape(title)}</a>' for title in sections)
    body = '\n'.join(
        f'<section id="{_anchor(title)}"><h2>{html.escape(title)}</h2>\n{chr(10).join(parts)}\n</section>'
        for title, parts in sections.items()
    )
    status = '\n'.join(f'<p class="partial">{html.escape(text)}</p>' for text in gaps(results))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(name)}</title>\n<style>\n{CSS}</style></head>\n'
        f'<body><h1>{html.escape(name)}</h1>\n<nav>{links}</nav>\n{status}\n{body}\n</body></html>\n'
    )


def _question(study: dict[str, Any]) -> list[str]:
    titles = method_titles(study)
    descriptions = [
        f'<li><b>{html.escape(titles[method["name"]])}</b>: {html.escape(method.get("description", ""))}</li>'
        for method in study.get('methods', [])
    ]
    return [
        '<p>Labels of aerial images seen off nadir are displaced, the more the taller the building. Given a large '
        'source domain with such labels and a small clean target domain: which way of using both gives the network '
        'that finds buildings of each height best on the clean target?</p>',
        f'<ul>{"".join(descriptions)}</ul>',
        f'<div class="text">{domain_table(study).html()}</div>',
        f'<p>{html.escape(CLAIM)}</p>',
    ]


def _verdict(results: dict[str, Any]) -> list[str]:
    verdict = judge_study(results)
    findings = ''.join(f'<li>{html.escape(finding)}</li>' for finding in verdict.findings)
    return [
        f'<p class="answer">{html.escape(verdict.answer)}</p>',
        *([f'<ul>{findings}</ul>'] if findings else []),
        *_html(verdict.tables),
        f'<p>{html.escape(verdict.rule)}</p>',
    ]


def _unfinished(results: dict[str, Any]) -> list[str]:
    parts = []
    for run in failed_runs(results):
        text = run['error']
        if len(text) > MAX_ERROR_CHARACTERS:
            left_out = len(text) - MAX_ERROR_CHARACTERS
            text = f'[the first {left_out} characters are left out]\n{text[-MAX_ERROR_CHARACTERS:]}'
        summary = f'{html.escape(run["name"])} failed: {html.escape(last_line(run["error"]))}'
        parts.append(f'<details><summary>{summary}</summary><pre>{html.escape(text)}</pre></details>')
    missing = [f'<li>{html.escape(line)}</li>' for line in missing_runs(results)]
    return [*parts, *([f'<ul>{"".join(missing)}</ul>'] if missing else [])] or ['<p>None: every run has finished.</p>']


def _reproduction(study: dict[str, Any]) -> list[str]:
    return [
        '<p>The same command with the same configuration repeats the study; finished runs are kept, so that a study '
        'that was interrupted goes on. Its folder holds results.json (every figure here and each run), results.md and '
        'the charts.</p>',
        f'<pre>{html.escape(study.get("command", COMMAND))}</pre>',
        f'<p>Seeds: {html.escape(", ".join(map(str, study.get("seeds", []))) or "not stated")}.</p>',
    ]


def _figure(caption: str, pictures: dict[str, bytes | None], name: str) -> str:
    picture = pictures.get(name)
    if picture is None:
        return '<p>Nothing to draw: no finished run has what this chart shows.</p>'
    source = f'data:image/png;base64,{base64.b64encode(picture).decode()}'
    text = html.escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _html(tables: Iterable[Table | None]) -> list[str]:
    return [table.html() for table in tables if table is not None]


def _anchor(title: str) -> str:
    return title.lower().replace(' ', '-')
