"""The recipe of configs/README.md for a backbone of one's own, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def code_blocks(section):
    """Code of a section of that page by the file that the line before it names, and the line that it belongs after."""
    text = (ROOT / 'configs' / 'README.md').read_text().split(f'## {section}\n')[1].split('\n## ')[0]
    return re.findall(r'`([\w/]+\.py)`[^\n]*\n\n```(?:python|text)\n(.*?)```', text, re.DOTALL)


@pytest.fixture
def copy(tmp_path):
    """The project, in which a new file is one that the copy lacks and a line is added to one that it has."""
    for name in ('projects', 'configs', 'tests', 'tools'):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(ROOT / 'pyproject.toml', tmp_path)
    for name, code in code_blocks('A backbone of your own'):
        path = tmp_path / name
        if not path.exists():
            path.write_text(code)
        else:
            first = 'BACKBONES = [\n' if path.name.startswith('test_') else '"""\n\n'
            path.write_text(path.read_text().replace(first, first + code, 1))
    return tmp_path


def test_the_recipe_gives_a_backbone_that_keeps_the_contract_and_trains(copy):
    tests = ['tests/efficient_models/test_backbone_contract.py', 'tests/configs/test_configs.py']
    process = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-n', '0', '-k', 'Toy or toy', *tests],
        cwd=copy,
        env=os.environ | {'PYTHONPATH': str(copy), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-3000:]
    assert int(re.search(r'(\d+) passed', process.stdout).group(1)) > 30
