import pytest

from projects.reporting.progress import progress_bar, progress_bars, track


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')  # to rich, stderr is one then
    monkeypatch.setenv('COLUMNS', '120')
    monkeypatch.setenv('TERM', 'xterm')


def test_items_pass_unchanged_and_their_number_is_shown(terminal, capsys):
    assert list(track([3, 1, 2], 'Tiles [a]')) == [3, 1, 2]
    out, err = capsys.readouterr()
    assert out == ''
    assert 'Tiles [a]' in err
    assert '3/3' in err


def test_a_generator_states_its_total(terminal, capsys):
    assert list(track((i for i in range(2)), 'Tiles', total=2)) == [0, 1]
    assert '2/2' in capsys.readouterr().err


def test_a_log_has_no_bar(monkeypatch, capsys):
    for name in ('FORCE_COLOR', 'TTY_COMPATIBLE', 'TTY_INTERACTIVE'):
        monkeypatch.delenv(name, raising=False)
    assert list(track([1], 'Tiles')) == [1]
    with progress_bar('Rows', 4) as advance:
        advance(4)
    assert ''.join(capsys.readouterr()).strip() == ''  # rich 13.0 prints empty lines


def test_other_processes_show_nothing_but_count(terminal, capsys):
    with progress_bars(shown=False) as bars:
        task = bars.add_task('images', total=2)
        bars.advance(task)
        assert bars.tasks[task].completed == 1
    assert capsys.readouterr().err.strip() == ''
