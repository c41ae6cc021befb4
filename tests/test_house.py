"""Rules of the house that linters do not know; who may import whom is in pyproject.toml, for import-linter."""

import ast
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for folder in ('projects', 'tools') for path in (ROOT / folder).rglob('*.py'))
BRITISH = re.compile(
    'colour|centre|grey|metre|neighbour|behaviour|labelled|([aeiou][lmnrt]|nt)is(e|ed|er|ation)s?(_|$)'
)
ROOMS = sorted(path.parent for path in (ROOT / 'projects').glob('*/__init__.py'))


@cache
def imports(path):
    """Names of the modules that a file imports, as they stand there, with a dot for each level up."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.append('.' * node.level + (node.module or ''))
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def test_nobody_imports_tools_or_tests():
    assert not [path for path in MODULES for name in imports(path) if name.split('.')[0] in ('tools', 'tests')]


@pytest.mark.parametrize('room', ROOMS, ids=lambda room: room.name)
def test_imports_are_relative_inside_a_project_and_absolute_across(room):
    absolute = f'projects.{room.name}'
    for path in room.rglob('*.py'):
        depth = len(path.relative_to(room).parts)
        for name in imports(path):
            assert not f'{name}.'.startswith(f'{absolute}.'), f'{path}: {name}, which is inside: make it relative'
            level = len(name) - len(name.lstrip('.'))
            assert level <= depth, f'{path}: {name} leads out of {absolute}: make it absolute'


def test_an_optional_library_has_one_module():
    for library in ('onnxruntime', 'nncf', 'rasterio', 'geopandas', 'pyogrio', 'optuna'):
        modules = [path for path in MODULES if library in {name.split('.')[0] for name in imports(path)}]
        assert len([path for path in modules if path.is_relative_to(ROOT / 'projects')]) <= 1, library


def test_identifiers_are_spelt_in_american():
    accepted = {'regularise'}  # as users type it
    for path in MODULES:
        with tokenize.open(path) as file:
            names = {token.string for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.NAME}
        assert not [name for name in names - accepted if BRITISH.search(name.lower())], path


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
