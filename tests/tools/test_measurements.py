"""The scripts behind measured figures keep up with the code; their figures depend on the machine."""

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / 'tools' / 'benchmarks').glob('*.py'))


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.stem)
def test_a_script_finds_all_that_it_needs(script, monkeypatch):
    monkeypatch.syspath_prepend(script.parent)
    runpy.run_path(str(script), run_name='loaded')


def test_the_authors_formulation_of_efficientmod_gives_our_maps(monkeypatch):
    import torch

    monkeypatch.syspath_prepend(SCRIPTS[0].parent)
    script = runpy.run_path(str(SCRIPTS[0].parent / 'backbones.py'), run_name='loaded')
    torch.manual_seed(0)
    script['check_same_maps'](script['beside_authors']('xxs'), torch.randn(1, 3, 64, 96))
