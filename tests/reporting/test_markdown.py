from projects.reporting.markdown import bullets, document
from projects.reporting.tables import Table


def test_parts_are_joined_by_blank_lines_and_empty_ones_are_left_out():
    assert document(['a', '', None, Table('', ['x'], [['1']]), 'b']) == 'a\n\n| x |\n| --- |\n| 1 |\n\nb'
    assert document([]) == ''


def test_headings_without_content_are_left_out():
    parts = ['# Title', '## Empty', '## Kept', '### Below', 'text', '### Nothing', '## Nothing']
    assert document(parts) == '# Title\n\n## Kept\n\n### Below\n\ntext'


def test_a_title_stands_above_a_list_alone():
    assert bullets(['a', 'b']) == '- a\n- b'
    assert bullets(['a'], 'Left out:') == 'Left out:\n\n- a'
    assert bullets([], 'Left out:') == ''
