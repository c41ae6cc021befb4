from pathlib import Path

import pytest

from projects.deployment.export.exported_file import move_exported


@pytest.fixture
def files(tmp_path):
    for folder in ('old', 'new'):
        (tmp_path / folder).mkdir()
        for suffix in ('xml', 'bin'):
            (tmp_path / folder / f'model.{suffix}').write_text(f'{folder} {suffix}')
    return tmp_path


def test_a_graph_and_its_weights_take_the_place_of_others(files):
    assert move_exported(files / 'new/model.xml', files / 'old/model.xml') == 14
    assert [(files / f'old/model.{suffix}').read_text() for suffix in ('xml', 'bin')] == ['new xml', 'new bin']
    assert not list((files / 'new').iterdir())


@pytest.mark.parametrize('killed_at', [1, 2])
def test_a_graph_never_stands_beside_the_weights_of_another(files, monkeypatch, killed_at):
    moves, replace = [], Path.replace

    def replace_or_die(path, target):
        moves.append(target)
        if len(moves) == killed_at:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, 'replace', replace_or_die)
    with pytest.raises(KeyboardInterrupt):
        move_exported(files / 'new/model.xml', files / 'old/model.xml')
    assert not (files / 'old/model.xml').exists()
