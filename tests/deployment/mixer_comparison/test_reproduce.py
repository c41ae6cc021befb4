"""The commands on the page are those that made it."""

import importlib.util
import shlex
from pathlib import Path

import pytest

from projects.deployment.mixer_comparison.costs import GPU_KERNELS, Plan
from projects.deployment.mixer_comparison.learning import Learned
from projects.deployment.mixer_comparison.reproduce import ROOT, commands
from projects.efficient_models.token_mixers import TOKEN_MIXERS
from projects.training.experiments.intervals import summarize

ALL = tuple(TOKEN_MIXERS)


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('compare_mixers_command', ROOT / 'tools' / 'compare_mixers.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def read(tool, command):
    name, *arguments = shlex.split(command)
    assert name == 'tools/compare_mixers.py'
    return tool.parse_args(arguments)


def learned(task, mixer, length, *seeds):
    scores = {seed: 40.0 + seed for seed in seeds}
    return Learned(task, mixer, length, 48, scores, summarize(scores.values()), None)


@pytest.mark.parametrize(
    'plan',
    [
        Plan(ALL),
        Plan(('window', 'softmax'), (64,), ('openvino',), channels=64, seconds=0.05, memory=False, cpu_time=True),
        Plan(ALL, threads=2),
        Plan(ALL, kernels=GPU_KERNELS, device='cuda'),
        Plan(ALL, kernels=GPU_KERNELS[:1], device='cuda'),
    ],
)
def test_the_command_makes_the_plan(tool, plan):
    (command,) = commands(plan, [], ROOT / 'work_dirs' / 'some')
    args = read(tool, command)
    assert tool.plan_of(args) == plan
    assert args.learn is None
    assert args.work_dir == Path('work_dirs/some')


def test_what_holds_without_being_said_is_left_out():
    assert commands(Plan(ALL), [], ROOT / 'work_dirs' / 'all') == ['tools/compare_mixers.py --work-dir work_dirs/all']


def test_each_task_is_trained_by_its_command(tool):
    trained = [learned('ade20k', 'window', 60, 0, 2), learned('ade20k', 'pool', 60, 1), learned('coco', 'pool', 4, 0)]
    args = [read(tool, command) for command in commands(Plan(ALL), trained, Path('/elsewhere/name'))]
    assert [one.learn for one in args] == [['ade20k'], ['coco']]
    assert [one.learn_mixers for one in args] == [['window', 'pool'], ['pool']]
    assert [one.seeds for one in args] == [[0, 1, 2], [0]]
    assert [(one.length, one.images) for one in args] == [(60, 48), (4, 48)]
    assert {str(one.work_dir) for one in args} == {'name'}
