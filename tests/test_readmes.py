"""Pages link to what exists, and the commands on them are ones that the tools take."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ('README.md', 'CHANGELOG.md', 'data/README.md', 'configs/README.md')]
PAGES += sorted((ROOT / 'projects').rglob('README.md'))


def anchor(heading):
    return re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r'\]\((?!https?:)([^)\s]+)\)', page.read_text()):
        path, _, heading = link.partition('#')
        target = page.parent / path if path else page
        assert target.exists(), link
        if heading:
            assert heading in map(anchor, re.findall(r'^#+ (.*)$', target.read_text(), re.MULTILINE)), link


def test_files_for_engines_hold_commands_that_the_tool_takes():
    page = (ROOT / 'projects/deployment/prediction/rasters/README.md').read_text()
    job, indexed = (re.search(rf'```{kind}\n(.*?)```', page, re.DOTALL).group(1) for kind in ('json', 'yaml'))
    (container,) = yaml.safe_load(indexed)['spec']['template']['spec']['containers']
    for command in (json.loads(job)['containerOverrides']['command'], container['command']):
        assert command[:2] == ['skyline', 'predict']
        assert tool('predict').parse_args(command[2:]).part.startswith('auto')


def tool(name):
    """The module of a tool."""
    spec = importlib.util.spec_from_file_location(f'{name}_tool', ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands():
    """All calls of a tool that stand in tables and blocks, as typed; between sentences their parts are named, too."""
    for page in PAGES:
        text = page.read_text().replace('\\\n', ' ')
        blocks = re.findall(r'```bash\n(.*?)```', text, re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        for line in lines + re.findall(r'^\|.*`([^`]*tools/[^`]*)` \|', text, re.MULTILINE):
            if found := re.search(r'tools/(\w+)\.py (.+)', line):
                yield f'{page.relative_to(ROOT)}: {line}', *found.groups()


COMMANDS = {name: (tool, arguments) for name, tool, arguments in commands()}


@pytest.mark.parametrize('name', COMMANDS)
def test_a_tool_takes_the_command_of_a_page(name, tmp_path, monkeypatch):
    called, typed = COMMANDS[name]
    arguments = shlex.split(re.split(r' && | \| ', typed)[0])
    for argument in arguments:
        if argument.startswith('configs/'):
            assert (ROOT / argument).is_file(), argument
    monkeypatch.chdir(tmp_path)
    tool(called).parse_args(arguments)
