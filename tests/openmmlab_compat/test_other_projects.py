"""Beside the folders `projects` of OpenMMLab's checkouts."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import projects.openmmlab_compat

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=['namespace', 'package'])
def checkout(request, tmp_path):
    """A checkout with a project of its own, with or without `projects/__init__.py`."""
    theirs = tmp_path / 'projects' / 'DiffusionDet'
    theirs.mkdir(parents=True)
    (theirs / '__init__.py').touch()
    if request.param == 'package':
        (theirs.parent / '__init__.py').touch()
    return tmp_path


@pytest.fixture
def _ours_restored():
    yield
    sys.modules.pop('projects.DiffusionDet', None)
    importlib.reload(projects)


@pytest.mark.usefixtures('_ours_restored')
def test_their_projects_stay_importable(checkout, monkeypatch):
    monkeypatch.setattr(sys, 'path', [str(ROOT), str(checkout), *sys.path])
    importlib.reload(projects)
    found = importlib.import_module('projects.DiffusionDet')
    assert Path(found.__file__) == checkout / 'projects' / 'DiffusionDet' / '__init__.py'
    assert Path(projects.openmmlab_compat.__file__).is_relative_to(ROOT)


def test_tools_find_ours_inside_a_checkout(checkout):
    result = subprocess.run(
        [sys.executable, ROOT / 'tools' / 'vectorize.py', '--help'],
        cwd=checkout,
        env=os.environ | {'PYTHONPATH': str(checkout)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_every_tool_looks_here_first():
    for tool in (ROOT / 'tools').glob('*.py'):
        before, _ = tool.read_text().split('\nfrom projects', maxsplit=1)
        assert 'sys.path.insert(0, str(Path(__file__).resolve().parents[1]))' in before, tool
