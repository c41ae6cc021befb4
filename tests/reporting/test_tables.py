import re

import pytest

from projects.reporting.tables import LOG_WIDTH, Table


def test_markdown_by_hand():
    table = Table('caption', ['a', 'b'], [['x|y', 'two\nlines'], ['1', '2']], best={(1, 1)}, numeric=['b'])
    assert table.markdown().splitlines() == [
        '**caption**',
        '',
        '| a | b |',
        '| --- | ---: |',
        r'| x\|y | two lines |',
        '| 1 | **2** |',
    ]


def test_without_a_caption_the_table_stands_alone():
    assert Table('', ['a'], [['1']]).markdown() == '| a |\n| --- |\n| 1 |'
    assert '<caption>' not in Table('', ['a'], [['1']]).html()


def test_a_bar_after_backslashes_stays_in_its_cell():
    r"""`\\` is a backslash to Markdown, so that `\\|` would end the cell."""
    assert Table('', ['a|b'], [[r'c\|d']]).markdown().splitlines() == [r'| a\|b |', '| --- |', r'| c\\\|d |']


def test_html_escapes_every_text():
    markup = Table('<c>', ['<a>', '&'], [['<script>', '1 < 2'], ['x', '3']], best={(1, 1)}).html()
    for text in (
        '<caption>&lt;c&gt;</caption>',
        '<th scope="col">&lt;a&gt;</th><th scope="col">&amp;</th>',
        '<tr><th scope="row">&lt;script&gt;</th><td>1 &lt; 2</td></tr>',
        '<tr><th scope="row">x</th><td class="best">3</td></tr>',
    ):
        assert text in markup
    assert '<script>' not in markup


def test_numbers_in_html_are_not_torn_from_their_spread():
    assert '<td>+3.2\xa0±\xa00.5 (n\xa0=\xa03)</td>' in Table('', ['a', 'b'], [['x', '+3.2 ± 0.5 (n = 3)']]).html()


def test_text_shows_figures_on_the_right_and_what_looks_like_markup_as_it_is():
    lines = Table('caption', ['name', 'n'], [['[bold]x', '1'], ['y', '234']], numeric=['n']).text().splitlines()
    assert lines[0] == 'caption'
    assert '│ [bold]x │   1 │' in lines
    assert '│ y       │ 234 │' in lines


def test_long_cells_are_wrapped_and_keep_all_of_their_words():
    words = [f'word{number}' for number in range(60)]
    text = Table('', ['a', 'b'], [['x', ' '.join(words)]]).text(ruled=False)
    assert '│' not in text
    assert max(map(len, text.splitlines())) <= LOG_WIDTH
    assert re.findall(r'word\d+', text) == words


def test_groups_are_parted_by_a_line():
    rows = [['x', '1'], ['x', '2'], ['y', '3']]
    ends = [row.end_section for row in Table('', ['a', 'b'], rows).rich(grouped=True).rows]
    assert ends == [False, True, False]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"row \['1'\] has 1 cells; the table has 2 columns"):
        Table('', ['a', 'b'], [['1']])
