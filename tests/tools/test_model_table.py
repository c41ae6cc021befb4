"""The command line, on two small configs of its own; CI checks the table in configs/README.md, of all configs."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'model_table.py'
README = '# Title\n\n<!-- model table -->\n<!-- /model table -->\n\nThe end.\n'


@pytest.fixture
def project(tmp_path):
    """A project with two configs, the second with the figures of nobody."""
    (tmp_path / 'configs').mkdir()
    base = f"_base_ = '{ROOT}/configs/shvit_s1_maskrcnn_coco.py'\n"
    small = "test_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=(64, 64))]))\n"
    (tmp_path / 'configs' / 'ours.py').write_text(base + small)
    published = "published = dict(params_m='30', backbone_params_m='6.01', box_ap=12.5)\n"
    (tmp_path / 'configs' / 'theirs.py').write_text(base + small + published)
    (tmp_path / 'configs' / 'README.md').write_text(README)
    return tmp_path


@pytest.fixture
def main(project, monkeypatch):
    """The tool's `main`, in that project."""
    spec = importlib.util.spec_from_file_location('model_table_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, 'ROOT', project)
    monkeypatch.chdir(project)
    return tool.main


def test_printing_shows_every_config_and_flags_deviations(main, project, capsys):
    main([])
    printed = capsys.readouterr().out
    assert '**COCO, 64x64**' in printed
    assert '| [ours](configs/ours.py) | SHViT s1 | Mask R-CNN, UpsamplingFPN | 6.01 / 27.2 |' in printed
    assert (
        '| [theirs](configs/theirs.py) | SHViT s1 | Mask R-CNN, UpsamplingFPN | 6.01 / ⚠ **27.2, -9.3%** |' in printed
    )
    assert '| 6.01 / 30 | – | 12.5 / – |' in printed
    assert (project / 'configs' / 'README.md').read_text() == README
    main(['configs/ours.py'])
    assert 'theirs' not in capsys.readouterr().out


def test_a_written_table_is_up_to_date_until_a_config_changes(main, project, capsys):
    readme = project / 'configs' / 'README.md'
    main(['--write'])
    assert capsys.readouterr().out.endswith('README.md: 2 configs, of which 1 deviate from published figures\n')
    written = readme.read_text()
    assert written.startswith('# Title\n\n<!-- model table -->\nParameters')
    assert written.endswith(' |\n<!-- /model table -->\n\nThe end.\n')
    main(['--check'])
    assert 'up to date' in capsys.readouterr().out
    main(['--write', 'configs/README.md'])
    assert readme.read_text() == written

    with (project / 'configs' / 'ours.py').open('a') as config:
        config.write("model = dict(backbone=dict(arch='s2'), neck=dict(in_channels=[128, 308, 448]))\n")
    with pytest.raises(SystemExit) as stop:
        main(['--check', 'configs/README.md'])
    assert stop.value.code == (
        'The model table in configs/README.md is stale; run `tools/model_table.py --write configs/README.md`:\n  ours'
    )
    assert readme.read_text() == written


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(neck=dict(in_channels=[1, 2, 3]))', 'broken.py cannot be counted: RuntimeError: '),
        ('published = dict(top1=80.0)', "broken.py: `published` has an unknown key 'top1'"),
    ],
)
def test_a_broken_config_is_named_and_nothing_written(main, project, text, message):
    base = f"_base_ = '{ROOT}/configs/shvit_s1_maskrcnn_coco.py'\n"
    (project / 'configs' / 'broken.py').write_text(base + text)
    with pytest.raises(SystemExit, match='^model_table: .*' + message):
        main(['--write'])
    assert (project / 'configs' / 'README.md').read_text() == README


def test_mistakes_on_the_command_line(main, project, capsys):
    with pytest.raises(SystemExit, match=r"model_table: .*No such file.*'no\.py'"):
        main(['no.py'])
    with pytest.raises(SystemExit) as stop:
        main(['configs/ours.py', '--check'])
    assert stop.value.code == 2
    assert '--write and --check are for the table of all configs' in capsys.readouterr().err
