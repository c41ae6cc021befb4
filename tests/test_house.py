"""Rules of the house that linters do not know; who may import whom is in pyproject.toml, for import-linter."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for folder in ('projects', 'tools') for path in (ROOT / folder).rglob('*.py'))
ROOMS = sorted(path.parent for path in (ROOT / 'projects').glob('*/__init__.py'))


def imports(path):
    """Names of the modules that a file imports, as they stand there, with a dot for each level up."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield '.' * node.level + (node.module or '')
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_nobody_imports_tools_or_tests():
    assert not [path for path in MODULES for name in imports(path) if name.split('.')[0] in ('tools', 'tests')]


def test_names_say_what_is_inside():
    vague = {'utils', 'util', 'common', 'misc', 'helpers', 'helper'}
    assert not [path for path in MODULES if vague & {*path.relative_to(ROOT).with_suffix('').parts}]


@pytest.mark.parametrize('room', ROOMS, ids=lambda room: room.name)
def test_a_project_has_a_page(room):
    assert (room / 'README.md').is_file()


def test_modules_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 350} == {}


def test_the_first_page_is_short():
    assert len((ROOT / 'README.md').read_bytes()) < 12_000
