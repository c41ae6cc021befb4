import os
import signal
import time
from pathlib import Path

import pytest

from projects.sample_data.cache import MANIFEST, build_once
from tests.processes import call_in_clean_processes


def write_two_files(folder: Path) -> None:
    (folder / 'a').write_text('first')
    (folder / 'sub').mkdir()
    (folder / 'sub/b').write_text('second')


def must_not_build(folder: Path) -> None:
    raise AssertionError('built again')


def contents(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob('*') if path.is_file()}


def test_builds_once(tmp_path):
    root = tmp_path / 'deep/set'
    assert build_once(root, {'version': 1}, write_two_files) == root
    assert set(contents(root)) == {'a', 'sub/b', MANIFEST}
    build_once(root, {'version': 1}, must_not_build)


def test_other_parameters_replace_the_whole_folder(tmp_path):
    root = tmp_path / 'set'
    build_once(root, {'version': 1}, write_two_files)
    build_once(root, {'version': 2}, lambda folder: (folder / 'c').touch())
    assert set(contents(root)) == {'c', MANIFEST}
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.set.lock', 'set']


def lose_a_file(root: Path) -> None:
    (root / 'sub/b').unlink()


def truncate_a_file(root: Path) -> None:
    (root / 'sub/b').write_text('sec')


def damage_the_manifest(root: Path) -> None:
    (root / MANIFEST).write_text('{"parameters')


@pytest.mark.parametrize('damage', [lose_a_file, truncate_a_file, damage_the_manifest])
def test_a_damaged_folder_is_built_anew(tmp_path, damage):
    root = tmp_path / 'set'
    build_once(root, {}, write_two_files)
    before = contents(root)
    damage(root)
    build_once(root, {}, write_two_files)
    assert contents(root) == before


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / 'photo.jpg').write_text('mine')
    with pytest.raises(FileExistsError, match='holds files that were not generated'):
        build_once(tmp_path, {}, must_not_build)
    assert contents(tmp_path) == {'photo.jpg': 'mine'}
    with pytest.raises(NotADirectoryError, match='is a file'):
        build_once(tmp_path / 'photo.jpg', {}, must_not_build)


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / 'set').mkdir()
    build_once(tmp_path / 'set', {}, write_two_files)
    assert (tmp_path / 'set/sub/b').is_file()


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / 'set').symlink_to(tmp_path / 'elsewhere')
    build_once(tmp_path / 'set', {'version': 1}, write_two_files)
    build_once(tmp_path / 'set', {'version': 2}, write_two_files)
    assert (tmp_path / 'set').is_symlink()
    assert (tmp_path / 'elsewhere/sub/b').is_file()


def test_an_error_while_building_leaves_the_old_folder(tmp_path):
    def fail(folder: Path) -> None:
        write_two_files(folder)
        raise OSError('disk full')

    root = tmp_path / 'set'
    with pytest.raises(OSError, match='disk full'):
        build_once(root, {'version': 1}, fail)
    assert not root.exists()
    build_once(root, {'version': 1}, write_two_files)
    with pytest.raises(OSError, match='disk full'):
        build_once(root, {'version': 2}, fail)
    build_once(root, {'version': 1}, must_not_build)


def die(folder: Path) -> None:
    write_two_files(folder)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_leaves_no_half_folder_and_no_lock(tmp_path):
    root = tmp_path / 'set'
    call_in_clean_processes(build_once, (root, {}, die), exit_code=-signal.SIGKILL)
    assert not root.exists()
    build_once(root, {}, lambda folder: (folder / 'c').touch())
    assert set(contents(root)) == {'c', MANIFEST}
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.set.lock', 'set']


def build_slowly(folder: Path) -> None:
    (folder.parent / f'built by {os.getpid()}').touch()
    time.sleep(0.3)
    write_two_files(folder)


def build_and_check(root: Path) -> None:
    build_once(root, {'version': 2}, build_slowly)
    assert (root / 'sub/b').read_text() == 'second'


@pytest.mark.parametrize('stale', [False, True])
def test_of_many_processes_one_builds(tmp_path, stale):
    if stale:
        build_once(tmp_path / 'set', {'version': 1}, write_two_files)
    call_in_clean_processes(build_and_check, *[(tmp_path / 'set',)] * 4)
    assert len(list(tmp_path.glob('built by *'))) == 1
