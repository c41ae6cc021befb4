import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from projects.building_extraction.transfer_study.report import write_report

VOID = {'meta', 'img', 'br', 'link', 'hr', 'input'}
EXTERNAL = {'src', 'href'}


class Page(HTMLParser):
    """Checks that tags are balanced and collects texts, headings and references."""

    def __init__(self, markup):
        super().__init__()
        self.open, self.texts, self.references, self.headings, self.tags = [], [], [], [], []
        self.ids = set()
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.references += [value for name, value in attrs if name in EXTERNAL]
        self.ids |= {value for name, value in attrs if name == 'id'}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == 'h2':
            self.headings.append(data)
        self.texts.append(data)

    @property
    def text(self):
        return ' '.join(' '.join(self.texts).replace('\xa0', ' ').split())


ANGLES = {
    'name': 'angle', 'title': 'off-nadir angle', 'unit': '°', 'changes': ['source'], 'replicates': 2,
    'points': [[0, 'angle-0'], [40, 'angle-40']],
}  # fmt: skip


@pytest.fixture
def full_study(study_folder):
    study_folder.write_study(
        title='A <study> & more',
        axes=[ANGLES],
        replicates=2,
        panel_tiles=['test_0003'],
        panel_images='images',
        panel_labels='masks',
        misalignment={'low-rise': {'median_px': 4.0}},
        parameters={'note': '<b>1 & 2</b>'},
    )
    label = np.zeros((32, 32), np.uint8)
    label[8:16, 8:16] = 255
    study_folder.write_tile('test_0003', label)
    for setting in ('main', 'angle-0', 'angle-40'):
        for replicate in (0, 1):
            for method in ('teacher', 'student', 'student_long', 'kd', 'dml', 'sda'):
                if setting == 'main' or method not in ('student', 'student_long', 'dml'):
                    fields = {'f1_curve': [{'iteration': 5, 'f1': 9.0}], 'predictions': 'predictions/'}
                    f1 = 70.0 + len(method) + replicate
                    run = study_folder.write_run(method, replicate, f1, setting=setting, **fields)
                    (run / 'predictions').mkdir()
                    Image.fromarray(label).save(run / 'predictions' / 'test_0003.png')
    return study_folder


def test_the_page_is_balanced_whole_and_needs_nothing_else(full_study):
    page = Page(write_report(full_study.path).read_text())
    assert page.headings == [
        'What was asked',
        'Verdict',
        'At equal steps',
        'Scores',
        'By off-nadir angle',
        'Learning curves',
        'Pictures',
        'Parameters',
        'Runs without a result',
        'How to reproduce',
    ]
    assert page.tags.count('img') == 4
    assert all(reference.startswith(('data:image/png;base64,', '#')) for reference in page.references)
    assert {reference[1:] for reference in page.references if reference.startswith('#')} <= page.ids
    assert not {'link', 'iframe'} & set(page.tags)
    assert page.tags.count('script') == 3  # what the map shows, and what shows it
    assert 'None: every run has finished.' in page.text
    assert 'tools/transfer_study.py CONFIG' in page.text
    assert 'Partial' not in page.text


def test_texts_of_the_study_are_shown_as_they_are(full_study):
    markup = write_report(full_study.path).read_text()
    assert '<b>1' not in markup
    text = Page(markup).text
    assert 'A <study> & more' in text
    assert '<b>1 & 2</b>' in text


def test_the_folder_holds_everything_and_no_temporary_file(full_study):
    write_report(full_study.path)
    written = {path.relative_to(full_study.path).as_posix() for path in full_study.path.rglob('*') if path.is_file()}
    written = {name for name in written if not name.startswith(('runs/', 'images/', 'masks/'))}
    charts = ('f1_per_height_class', 'learning_curves', 'f1_by_angle', 'panels')
    assert written == {
        'study.json', 'results.json', 'results.md', 'report.html', *(f'charts/{name}.png' for name in charts)
    }  # fmt: skip
    results = json.loads((full_study.path / 'results.json').read_text())
    assert results['summary']['main']['sda']['scores']['overall']['f1']['mean'] == 73.5


def test_markdown_and_page_say_the_same(full_study):
    page = Page(write_report(full_study.path).read_text())
    markdown = (full_study.path / 'results.md').read_text()
    answer = re.search(r'## Verdict\n\n\*\*(.*)\*\*', markdown).group(1)
    assert answer.startswith('Of 13 claims of the paper')
    assert answer in page.text
    assert '| SDA | **73.5 ± 0.7** |' not in markdown  # the teacher's 77.5 is higher
    assert '| Teacher | 77.5 ± 0.7 |' in markdown.replace('**', '')
    assert '## Label misalignment' in markdown
    assert '0.943' in markdown


def test_a_study_with_failed_and_missing_runs_gets_a_report_that_says_so(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[80.0], kd=[79.0])
    study_folder.fail_run('<i>extra', 'stopped')
    study_folder.fail_run('main_dml_r0', 'Traceback:\n  in <module>\nRuntimeError: a < b & c')
    page = Page(write_report(study_folder.path).read_text())
    assert 'Partial: 2 of 19 runs have finished, 2 failed, 15 missing.' in page.text
    assert '<i>extra failed: stopped' in page.text
    assert 'One replicate only' in page.text
    assert 'main_dml_r0 failed: RuntimeError: a < b & c' in page.text
    assert 'in <module>' in page.text
    assert 'KD has not run: main (replicates 1, 2)' in page.text
    assert 'Nothing to draw' in page.text
    assert '- main_dml_r0 failed: RuntimeError: a < b & c' in (study_folder.path / 'results.md').read_text()


def test_a_study_without_any_finished_run_gets_a_report(study_folder):
    study_folder.write_study()
    page = Page(write_report(study_folder.path).read_text())
    assert 'Partial: 0 of 18 runs have finished, 18 missing.' in page.text
    assert 'No verdict yet' in page.text
    assert 'img' not in page.tags


def test_a_long_error_keeps_its_end(study_folder):
    study_folder.write_study()
    study_folder.fail_run('main_sda_r0', 'first line\n' + 'x' * 20_000 + '\nValueError: the end')
    text = Page(write_report(study_folder.path).read_text()).text
    assert 'characters are left out' in text
    assert 'ValueError: the end' in text
    assert 'first line' not in text


def test_a_chart_that_no_longer_applies_is_removed(study_folder):
    study_folder.write_study()
    run = study_folder.write_run('sda', 0, 80.0)
    write_report(study_folder.path)
    assert (study_folder.path / 'charts' / 'f1_per_height_class.png').is_file()
    (run / 'result.json').unlink()
    write_report(study_folder.path)
    assert not (study_folder.path / 'charts' / 'f1_per_height_class.png').exists()


def test_sections_without_content_are_left_out_of_the_markdown(study_folder):
    study_folder.write_study()
    write_report(study_folder.path)
    markdown = (study_folder.path / 'results.md').read_text()
    assert '## Label misalignment' not in markdown
    assert '## Cost' in markdown
    assert '## Runs without a result' in markdown
