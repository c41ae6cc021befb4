"""Sizes of images: read once for each set, from headers."""

import os
from pathlib import Path

import pytest
from PIL import Image

from projects.training import image_sizes
from projects.training.datasets import LoadImage
from projects.training.image_sizes import check_sizes


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Five images of 20x10 pixels, few of which are worth a cache."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(image_sizes, 'IMAGES_WORTH_A_CACHE', 3)
    for index in range(5):
        Image.new('RGB', (20, 10)).save(tmp_path / f'{index}.png')
    return [(str(tmp_path / f'{index}.png'), 20, 10) for index in range(5)]


def kept(tmp_path):
    return sorted(path.name for path in (tmp_path / 'cache/skyline/image_sizes').glob('*'))


def test_a_set_is_read_once_and_anew_when_a_file_changes(files, tmp_path, monkeypatch):
    assert check_sizes(files, LoadImage(), 9).wrong == {}
    assert len(kept(tmp_path)) == 1
    read = image_sizes._read_header
    monkeypatch.setattr(image_sizes, '_read_header', lambda path: pytest.fail(f'{path} was read again'))
    assert check_sizes(files, LoadImage(), 9).wrong == {}
    monkeypatch.setattr(image_sizes, '_read_header', read)
    Image.new('RGB', (10, 20)).save(files[2][0])
    for _ in range(2):
        assert {path: tuple(size) for path, size in check_sizes(files, LoadImage(), 9).wrong.items()} == {
            files[2][0]: (10, 20)
        }
    assert len(kept(tmp_path)) == 2
    assert check_sizes(files[:2], LoadImage(), 9).wrong == {}  # few are not worth it
    assert len(kept(tmp_path)) == 2


def test_another_size_in_the_annotations_or_another_loader_is_another_question(files, tmp_path):
    check_sizes(files, LoadImage(), 9)
    assert len(check_sizes([(path, 10, 20) for path, *_ in files], LoadImage(), 9).wrong) == 5
    check_sizes(files, LoadImage(color_type='color_ignore_orientation'), 9)
    assert len(kept(tmp_path)) == 3


@pytest.mark.parametrize('content', ['', '[]', '{"other": 1}', '{"wrong": '])
def test_a_damaged_cache_is_made_anew(files, tmp_path, content):
    check_sizes(files, LoadImage(), 9)
    (path,) = (tmp_path / 'cache/skyline/image_sizes').iterdir()
    path.write_text(content)
    assert check_sizes(files, LoadImage(), 9).wrong == {}
    assert path.read_text() != content


def test_a_cache_that_cannot_be_written_is_done_without(files, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert check_sizes(files, LoadImage(), 9).wrong == {}


def test_images_that_cannot_be_read_are_left_to_loading(files):
    os.truncate(files[1][0], 10)
    Path(files[2][0]).unlink()
    assert check_sizes([(path, 5, 5) for path, *_ in files[:3]], LoadImage(), 9).wrong == {files[0][0]: (20, 10)}


def test_the_search_ends_when_enough_are_wrong(files):
    assert len(check_sizes([(path, 5, 5) for path, *_ in files], LoadImage(), 2).wrong) == 3
