import pytest

from projects.reporting import sections
from projects.reporting.sections import read_section, replace_section

README = 'Before.\n\n<!-- model table -->\nold\n<!-- /model table -->\n\nAfter.\n'


@pytest.fixture
def readme(tmp_path):
    path = tmp_path / 'README.md'
    path.write_text(README)
    return path


def test_the_text_replaces_what_stands_between_the_lines(readme):
    for text in ('| a |\n| b |', r'| \1 \g<0> |'):
        replace_section(readme, 'model table', text)
        assert readme.read_text() == README.replace('old', text)
        assert read_section(readme, 'model table') == text
    assert list(readme.parent.iterdir()) == [readme]


def test_other_sections_and_mentions_stay(readme):
    more = README + 'Written between `<!-- model table -->` and its end.\n<!-- speed -->\nkept\n<!-- /speed -->\n'
    readme.write_text(more)
    replace_section(readme, 'model table', 'new')
    assert readme.read_text() == more.replace('old', 'new')
    assert read_section(readme, 'speed') == 'kept'


@pytest.mark.parametrize(
    ('text', 'known'),
    [
        ('no table', 'none'),
        ('<!-- model table -->', 'none'),
        ('<!-- /model table -->\n<!-- model table -->', 'model table'),
        (README + README, 'model table'),
        ('<!-- speed claims -->\n<!-- /speed claims -->', 'speed claims'),
    ],
)
def test_a_file_without_that_one_section_is_left_alone_and_named(readme, text, known):
    readme.write_text(text)
    message = rf'README\.md must have the lines `<!-- model table -->` and `<!-- /model table -->`.*sections: {known}$'
    with pytest.raises(ValueError, match=message):
        read_section(readme, 'model table')
    with pytest.raises(ValueError, match=message):
        replace_section(readme, 'model table', '| a |')
    assert readme.read_text() == text


def test_a_file_that_cannot_be_written_stays_as_it_was(readme, monkeypatch):
    def fail(self, target):
        raise OSError('disk is full')

    monkeypatch.setattr(sections.Path, 'replace', fail)
    with pytest.raises(OSError, match='disk is full'):
        replace_section(readme, 'model table', 'new')
    assert readme.read_text() == README
    assert list(readme.parent.iterdir()) == [readme]
