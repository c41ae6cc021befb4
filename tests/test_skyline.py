"""One command for all tools, from a checkout and as pip installs it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from projects.skyline import commands

ROOT = Path(__file__).parents[1]
TOOLS = sorted(path.stem for path in (ROOT / 'tools').glob('*.py'))
PROGRAM = 'import sys; sys.argv[0] = "skyline"; from projects.skyline import main; main()'


def skyline(*arguments, cwd=ROOT, path=ROOT, **env):
    return subprocess.run(
        [sys.executable, '-c', PROGRAM, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(path), 'COLUMNS': '120', **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_every_tool_with_its_line(tmp_path):
    done = skyline('--help', cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout == skyline(cwd=tmp_path).stdout
    assert sorted(commands()) == TOOLS
    for tool, line in commands().items():
        assert re.fullmatch(r'[A-Z][^`"]{10,90}\.', line), tool
        assert re.search(rf'^  {tool} +{re.escape(line)}$', done.stdout, re.MULTILINE)


def test_help_is_there_at_once(tmp_path):
    done = skyline('--help', PYTHONPROFILEIMPORTTIME='1', cwd=tmp_path)
    imported = set(re.findall(r'\| +([a-z_]+)$', done.stderr, re.MULTILINE))
    assert 'argparse' in imported
    assert not imported & {'numpy', 'torch', 'mmengine', 'mmcv', 'cv2', 'rich', 'shapely'}


def test_the_version_is_that_of_the_project(tmp_path):
    assert skyline('--version', cwd=tmp_path).stdout == f'skyline {version("skyline")}\n'


def test_a_command_is_the_tool_of_its_name(tmp_path):
    done = skyline('vectorize', '--help', cwd=tmp_path)
    assert done.stdout.startswith('usage: skyline vectorize ')
    file = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'vectorize.py'), '--help'],
        env={**os.environ, 'COLUMNS': '120'},
        capture_output=True,
        text=True,
        check=True,
    )
    one, other = (re.sub(r'\s+', ' ', text) for text in (done.stdout, file.stdout))
    assert one == other.replace('vectorize.py', 'skyline vectorize')
    refused = skyline('vectorize', 'nowhere.tif', 'out.gpkg', cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, '')
    assert refused.stderr.startswith('vectorize: ')


@pytest.mark.parametrize(
    ('typed', 'said'),
    [
        ('trian', 'did you mean `skyline train`?'),
        ('benchmark-grid', 'did you mean `skyline benchmark_grid`?'),
        ('../tools/train', "'../tools/train' is no command"),
        ('qqqq', "'qqqq' is no command; see `skyline --help`"),
    ],
)
def test_what_is_no_command_is_refused_in_one_line(typed, said):
    done = skyline(typed)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('skyline pre', {'predict', 'prepare_data'}),
        ('skyline predict --pol', {'--polygons'}),
        ('skyline predict m.onnx a.tif --polygons g', {'gpkg', 'geojson'}),
        ('skyline prepare_data geot', {'geotiles', 'geotiff'}),
    ],
)
def test_shells_complete_commands_and_their_options(tmp_path, line, expected):
    answer = tmp_path / 'answer'
    skyline(
        _ARGCOMPLETE='1',
        _ARGCOMPLETE_IFS='\n',
        _ARGCOMPLETE_STDOUT_FILENAME=str(answer),
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    found = {word.strip() for word in answer.read_text().splitlines()}
    assert found >= expected if 'polygons g' in line else found == expected


def test_a_wheel_brings_the_tools_and_their_configs(tmp_path):
    copy = tmp_path / 'copy'
    for name in ('projects', 'tools', 'configs', 'tests'):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, copy)
    build = 'from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))'
    subprocess.run(
        [sys.executable, '-c', f'import sys; {build}', str(tmp_path)], cwd=copy, capture_output=True, check=True
    )
    installed = tmp_path / 'site'
    with zipfile.ZipFile(next(tmp_path.glob('*.whl'))) as wheel:
        wheel.extractall(installed)
    points = next(installed.glob('*.dist-info')) / 'entry_points.txt'
    assert 'skyline = projects.skyline:main' in points.read_text()
    assert sorted(path.stem for path in (installed / 'tools').glob('*.py')) == TOOLS
    assert not (installed / 'tests').exists()
    configs = {path.relative_to(ROOT) for path in (ROOT / 'configs').rglob('*.py')}
    assert {path.relative_to(installed) for path in (installed / 'configs').rglob('*.py')} == configs
    done = skyline('predict', '--help', cwd=tmp_path, path=installed)
    assert done.stdout.startswith('usage: skyline predict ')
