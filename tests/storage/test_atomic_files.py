import os
import subprocess
import sys
import textwrap

import pytest

from projects.storage import atomic_files
from projects.storage.atomic_files import replacing, write_file

WITHOUT_TORCH = f'import runpy; replacing = runpy.run_path({atomic_files.__file__!r})["replacing"]\n'
KILLED_AT = {
    'while it is written': 'os.kill(os.getpid(), signal.SIGKILL)',
    'before it is renamed': 'os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)',
}


def python(script, *arguments):
    command = [sys.executable, '-c', WITHOUT_TORCH + textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_file_is_written_anew_or_in_place_of_the_old_one(tmp_path):
    path = tmp_path / 'scores.json'
    for content in ('one', 'two'):
        with replacing(path) as temporary:
            temporary.write_text(content)
        assert path.read_text() == content
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_while_the_new_one_is_written(tmp_path):
    path = tmp_path / 'scores.json'
    path.write_text('old')
    with replacing(str(path)) as temporary:
        temporary.write_text('new')
        assert path.read_text() == 'old'


@pytest.mark.parametrize('error', [ValueError, OSError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / 'scores.json'
    path.write_text('old')

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text('ne')
            raise error('half way')

    with pytest.raises(error, match='half way'):
        write_half()
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    path = tmp_path / 'scores.json'
    path.write_text('old')
    with pytest.raises(FileNotFoundError, match='scores'), replacing(path):
        pass
    assert path.read_text() == 'old'


@pytest.mark.parametrize('moment', KILLED_AT)
def test_a_process_killed_leaves_the_old_file(tmp_path, moment):
    path = tmp_path / 'scores.json'
    path.write_text('old')
    script = f"""
        import os, signal, sys
        with replacing(sys.argv[1]) as temporary:
            temporary.write_text('new')
            {KILLED_AT[moment]}
    """
    with python(script, path) as process:
        process.communicate()
    assert process.returncode == -9
    assert path.read_text() == 'old'


@pytest.mark.parametrize(('name', 'suffix'), [('map.tif', '.tif'), ('a.b.GPKG', '.GPKG'), ('README', '.partial')])
def test_the_temporary_name_is_hidden_lies_beside_and_keeps_the_suffix(tmp_path, name, suffix):
    with replacing(tmp_path / name) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == suffix
        assert temporary.name.startswith('.')
        assert temporary.name != name
        temporary.touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_folder_is_named_before_there_is_work_to_lose(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'scores\.json: the folder .*absent does not exist'):
        replacing(tmp_path / 'absent' / 'scores.json').__enter__()
    assert not list(tmp_path.iterdir())


def test_a_file_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    steps, fsync, rename = [], os.fsync, os.replace
    monkeypatch.setattr('os.fsync', lambda descriptor: (steps.append('flushed'), fsync(descriptor)))
    monkeypatch.setattr('os.replace', lambda *paths: (steps.append('renamed'), rename(*paths)))
    with replacing(tmp_path / 'a') as temporary:
        temporary.touch()
    assert steps == ['flushed', 'renamed']


def test_two_processes_that_write_at_the_same_time_leave_one_whole_file(tmp_path):
    path = tmp_path / 'scores.json'
    script = """
        import sys
        path, letter = sys.argv[1:]
        with replacing(path) as temporary, temporary.open('w') as file:
            file.write(letter * 1000)
            file.flush()
            print('half', flush=True)
            sys.stdin.readline()
            file.write(letter * 1000)
    """
    with python(script, path, 'a') as first, python(script, path, 'b') as second:
        for process in (first, second):
            assert process.stdout.readline() == 'half\n'
        assert not path.exists()
        for process, letter in ((first, 'a'), (second, 'b')):
            process.communicate('go on\n')
            assert process.returncode == 0
            assert path.read_text() == letter * 2000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(('content', 'written'), [('°\n', b'\xc2\xb0\n'), (b'\x00\r\n', b'\x00\r\n')])
def test_text_and_bytes_are_written_as_they_are(tmp_path, content, written):
    write_file(tmp_path / 'a', content)
    assert (tmp_path / 'a').read_bytes() == written
    assert [path.name for path in tmp_path.iterdir()] == ['a']
