"""The page of the token mixers says what they say of themselves."""

import re
from pathlib import Path

import pytest

from projects.efficient_models.token_mixers import DESIGNS, TOKEN_MIXERS

FOLDER = Path(__file__).parents[3] / 'projects' / 'efficient_models' / 'token_mixers'
PAGE = (FOLDER / 'README.md').read_text()


@pytest.mark.parametrize('name', TOKEN_MIXERS)
def test_each_mixer_has_its_row_in_its_class(name):
    mixer = TOKEN_MIXERS[name]
    mechanism, file = mixer.mechanism, mixer.__module__.rpartition('.')[2]
    section = PAGE.split(f'\n## {DESIGNS[mechanism.design]}\n')[1].split('\n## ')[0]
    row = f'| `{name}` | [{mechanism.title}]({file}.py) | {mechanism.formula} | {mechanism.cost} |'
    assert row in section.splitlines()


def test_no_row_is_left_from_a_mixer_that_is_gone():
    assert sorted(re.findall(r'^\| `(\w+)` \|', PAGE, re.MULTILINE)) == sorted(TOKEN_MIXERS)


def test_the_example_runs(capsys):
    (example,) = re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL)
    exec(compile(example, 'README.md', 'exec'), {})
    assert capsys.readouterr().out
