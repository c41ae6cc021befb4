"""The command `skyline`: `skyline predict …` is `tools/predict.py …`, and so is every other tool.

Nothing is listed here: a file in `tools/` is a command, and the first line of its docstring what `skyline --help` says.
"""

import argparse
import difflib
import os
import runpy
import sys
from importlib.metadata import version
from pathlib import Path

from projects.command_line import Parser

TOOLS = Path(__file__).resolve().parents[1] / 'tools'  # beside `projects` in a checkout, and in what pip has installed
COMPLETION = """
Completion by the Tab key, once for each shell, in its start file (~/.bashrc, ~/.zshrc, ~/.config/fish/config.fish):
  eval "$(register-python-argcomplete skyline)"                  bash and zsh
  register-python-argcomplete --shell fish skyline | source      fish
"""


def commands() -> dict[str, str]:
    """What each tool does, in one line, by its name.

    Example:
        >>> commands()['train']
        'Train a config.'
    """
    return {path.stem: _first_line(path) for path in sorted(TOOLS.glob('*.py'))}


def _first_line(path: Path) -> str:
    return path.read_text(encoding='utf-8').partition('"""')[2].partition('\n')[0].removesuffix('"""')


def main() -> None:
    """Run a tool as if its file had been called, or list them."""
    asked = '_ARGCOMPLETE' in os.environ  # a shell asks what may follow
    words = _finished_words() if asked else sys.argv[1:]
    name = words[0] if words else '--help'
    path = TOOLS / f'{name}.py'
    if not (name.isidentifier() and path.is_file()):
        _list_or_refuse(name)
        return
    if asked:
        os.environ['_ARGCOMPLETE'] = '2'  # the words of the tool begin with the second
    Parser.launcher = 'skyline'
    sys.argv = [str(path), *sys.argv[2:]]
    runpy.run_path(str(path), run_name='__main__')


def _finished_words() -> list[str]:
    """Of the line that is being typed, those after `skyline` that a blank follows."""
    line = os.environ.get('COMP_LINE', '')[: int(os.environ.get('COMP_POINT', 0))]
    return line.split()[1 : None if line.endswith(' ') else -1]


def _list_or_refuse(name: str) -> None:
    """Say which tools there are, and if `name` is none, which of them is like it."""
    tools = commands()
    width = max(map(len, tools), default=0)
    listed = '\n'.join(f'  {tool:{width}}  {line}' for tool, line in tools.items())
    parser = Parser(
        prog='skyline',
        usage='skyline COMMAND ...',
        description=f'Commands, each of which has a --help of its own:\n{listed}\n{COMPLETION}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'skyline {version("skyline")}')
    parser.add_argument('command', choices=tools, metavar='COMMAND', help='one of the above')
    if '_ARGCOMPLETE' not in os.environ and not name.startswith('-'):
        similar = difflib.get_close_matches(name.replace('-', '_'), tools, 1, 0.5)
        meant = f'did you mean `skyline {similar[0]}`?' if similar else 'see `skyline --help`'
        parser.error(f'{name!r} is no command; {meant}')
    parser.parse_args([name])
