import contextlib
import os
import signal
from pathlib import Path

import pytest

from projects.storage.folders import check_folder, replacing_folder, take_place, working_folder
from tests.processes import call_in_clean_processes


def files(root):
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob('*') if path.is_file()}


def in_a_process_that_is_killed(function, *arguments):
    call_in_clean_processes(function, arguments, exit_code=-signal.SIGKILL)


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_folder_is_written_anew_or_in_place_of_all_that_the_old_one_held(tmp_path):
    path = tmp_path / 'deep' / 'set'
    for name in ('one', 'two'):
        with replacing_folder(str(path)) as folder:
            assert folder.name.startswith('.')
            assert folder.parent == path.parent
            (folder / name).write_text(name)
            assert files(path) == ({} if name == 'one' else {'one': 'one'})
        assert files(path) == {name: name}
        assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_one(tmp_path):
    (tmp_path / 'set').symlink_to(tmp_path / 'elsewhere')
    for name in ('one', 'two'):
        with replacing_folder(tmp_path / 'set') as folder:
            (folder / name).touch()
    assert (tmp_path / 'set').is_symlink()
    assert list(files(tmp_path / 'elsewhere')) == ['two']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_folder_and_nothing_else(tmp_path, error):
    def write_half():
        with replacing_folder(path) as folder:
            (folder / 'new').touch()
            raise error('half way')

    path = tmp_path / 'set'
    path.mkdir()
    (path / 'old').write_text('old')
    with pytest.raises(error, match='half way'):
        write_half()
    assert files(tmp_path) == {'set/old': 'old'}
    assert list(tmp_path.iterdir()) == [path]


def killed_while_writing(path):
    with replacing_folder(path) as folder:
        (folder / 'half').touch()
        die()


def killed_at_renaming(path, which):
    renames, rename = [], os.replace

    def replace(*paths):
        renames.append(paths)
        if len(renames) == which:
            die()
        rename(*paths)

    os.replace = replace
    with replacing_folder(path) as folder:
        (folder / 'new').write_text('new')


def killed_while_the_old_one_is_removed(path):
    with replacing_folder(path) as folder:
        (folder / 'new').write_text('new')
        os.rmdir = die


@pytest.mark.parametrize('old', [False, True])
def test_a_process_killed_while_it_writes_leaves_the_old_folder_or_none(tmp_path, old):
    path = tmp_path / 'set'
    if old:
        path.mkdir()
        (path / 'old').write_text('old')
    in_a_process_that_is_killed(killed_while_writing, path)
    assert path.exists() == old
    assert not old or files(path) == {'old': 'old'}
    with replacing_folder(path) as folder:
        assert not list(folder.iterdir())
        (folder / 'new').write_text('new')
    assert files(tmp_path) == {'set/new': 'new'}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(('which', 'content'), [(1, {'old': 'old'}), (2, None)])
def test_a_process_killed_between_two_renamings_loses_nothing(tmp_path, which, content):
    path = tmp_path / 'set'
    path.mkdir()
    (path / 'old').write_text('old')
    in_a_process_that_is_killed(killed_at_renaming, path, which)
    assert (files(path) if path.exists() else None) == content
    with replacing_folder(path) as folder:
        assert files(path) == {'old': 'old'}
        (folder / 'newer').write_text('newer')
    assert files(tmp_path) == {'set/newer': 'newer'}


def test_a_process_killed_while_it_removes_the_old_folder_leaves_the_new_one(tmp_path):
    path = tmp_path / 'set'
    path.mkdir()
    (path / 'old').write_text('old')
    in_a_process_that_is_killed(killed_while_the_old_one_is_removed, path)
    assert files(path) == {'new': 'new'}
    with replacing_folder(path) as folder:
        (folder / 'newer').touch()
    assert list(tmp_path.iterdir()) == [path]


def killed_at_work(path, made_with):
    with working_folder(path, made_with) as folder:
        (folder / 'done').write_text('done')
        die()


def test_what_an_interrupted_block_left_is_found_by_one_of_the_same_parameters(tmp_path):
    path, made_with = tmp_path / 'set', {'size': {'tile_px': 256}, 'bands': (1, 2)}
    in_a_process_that_is_killed(killed_at_work, path, made_with)
    with pytest.raises(FileExistsError, match=r'size.tile_px: 256 before, 512 now.*--overwrite'):
        working_folder(path, made_with | {'size': {'tile_px': 512}}).__enter__()
    with contextlib.suppress(OSError), working_folder(path, made_with) as folder:
        (folder / 'done').write_text('more')
        raise OSError('disk full')
    with working_folder(path, made_with) as folder:
        assert (folder / 'done').read_text() == 'more'
        (folder / 'set').mkdir()
        take_place(folder / 'set', path)
    assert list(tmp_path.iterdir()) == [path]
    in_a_process_that_is_killed(killed_at_work, path, made_with)
    with working_folder(path, {}, overwrite=True) as folder:
        assert not (folder / 'done').exists()


def killed_while_it_discards(path):
    os.unlink = die
    with working_folder(path, {'tile_px': 512}, overwrite=True):
        pass


def test_half_of_what_was_left_is_never_found(tmp_path):
    path = tmp_path / 'set'
    in_a_process_that_is_killed(killed_at_work, path, {'tile_px': 256})
    in_a_process_that_is_killed(killed_while_it_discards, path)
    with working_folder(path, {'tile_px': 256}) as folder:
        assert not (folder / 'done').exists()
    assert not list(tmp_path.iterdir())


def test_two_cannot_write_the_same_folder_at_once(tmp_path):
    with replacing_folder(tmp_path / 'set') as folder:
        with pytest.raises(FileExistsError, match=r'another process is writing .*set;'):
            replacing_folder(tmp_path / 'set').__enter__()
        with replacing_folder(tmp_path / 'other'):
            pass
        (folder / 'a').touch()
    assert list(files(tmp_path)) == ['set/a']


def test_a_mount_point_is_refused_before_there_is_work_to_lose(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, 'is_mount', lambda path: path == tmp_path / 'disk')
    (tmp_path / 'disk').mkdir()
    with pytest.raises(FileExistsError, match=r'disk is where a disk is mounted.*choose a folder in it'):
        replacing_folder(tmp_path / 'disk').__enter__()
    with replacing_folder(tmp_path / 'disk/set') as folder:
        (folder / 'a').touch()
    assert list(files(tmp_path)) == ['disk/set/a']


def test_only_what_was_written_earlier_is_replaced_and_only_if_asked(tmp_path):
    path = tmp_path / 'set'
    check_folder(path, {'images'})
    path.mkdir()
    check_folder(path, {'images'})
    (path / 'images').mkdir()
    with pytest.raises(FileExistsError, match='holds a set already; pass --overwrite'):
        check_folder(path, {'images'})
    check_folder(path, {'images'}, overwrite=True)
    (path / 'thesis.txt').touch()
    with pytest.raises(FileExistsError, match=r'other files \(thesis.txt\)'):
        check_folder(path, {'images'}, overwrite=True)
    with pytest.raises(FileExistsError, match='is a file'):
        check_folder(path / 'thesis.txt', {'images'}, overwrite=True)


@pytest.mark.parametrize('source', ['set', 'set/labels.gpkg', '.'])
def test_sources_lie_apart(tmp_path, source):
    with pytest.raises(ValueError, match='must lie apart from'):
        check_folder(tmp_path / 'set', set(), [tmp_path / source])
