"""Every room of the house has a page, the example on which runs."""

import re
from pathlib import Path

import pytest

ROOMS = sorted(path.parent for path in (Path(__file__).parents[1] / 'projects').glob('*/__init__.py'))


@pytest.mark.parametrize('room', ROOMS, ids=lambda room: room.name)
def test_the_example_on_the_page_of_a_room_runs(room):
    page = (room / 'README.md').read_text()
    assert len(page) < 8000
    if room.name == 'openmmlab_compat':
        return  # its page lists what replaces what
    (example,) = re.findall(r'```python\n(.*?)```', page, re.DOTALL)
    exec(compile(example, f'{room.name}/README.md', 'exec'), {})


@pytest.mark.parametrize('room', ROOMS, ids=lambda room: room.name)
def test_a_page_names_modules_that_exist(room):
    first_table = (room / 'README.md').read_text().split('\n## ')[0]
    names = re.findall(r'^\| `?([^|]+?) \|', first_table, re.MULTILINE)
    words = [word.strip('`/ ') for cell in names for word in cell.split(',')]
    for word in words if room.name != 'openmmlab_compat' else []:
        if re.fullmatch(r'[a-z_]+', word) and word not in ('module', 'modules', 'room'):
            assert (room / word).is_dir() or (room / f'{word}.py').is_file(), word
