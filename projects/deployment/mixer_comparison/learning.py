"""What networks learn that differ in nothing but their token mixers: planned, trained with several seeds, compared."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config

from projects.reporting.number_format import counted
from projects.training.config import load_config
from projects.training.experiments.intervals import Interval, Spread, student_interval, summarize
from projects.training.experiments.runs import RESULT, Run
from projects.training.experiments.schedule import Outcome, run_all
from projects.training.run_length import length_of, set_length

FOLDER = 'learning'
REFERENCE = 'softmax'
SCORE = 'score'  # name of the curve
DRAWS = 2000


@dataclass(frozen=True)
class Task:
    """What is learned.

    Attributes:
        title: For people.
        config: Config file of a `MixerPyramid` under a head.
        key: Of the validation's score.
        score: Its name for people.
        unit: What the length of a training counts.
        image_size: Height and width in pixels that images have at most.
    """

    title: str
    config: str
    key: str
    score: str
    unit: str
    image_size: tuple[int, int] = (160, 160)


TASKS = {
    'ade20k': Task(
        'Semantic FPN on the twin of ADE20K', 'configs/mixer_softmax_fpn_ade20k.py', 'mIoU', 'mIoU', 'iteration'
    ),
    'coco': Task(
        'Mask R-CNN on the twin of COCO',
        'configs/mixer_softmax_maskrcnn_coco.py',
        'coco/bbox_mAP_50',
        'box AP50',
        'epoch',
    ),
}


def plan_runs(
    folder: Path,
    tasks: Sequence[str],
    mixers: Sequence[str],
    seeds: Sequence[int],
    prepare: Callable[[Config], None],
    images: int,
    length: int | None = None,
) -> list[Run]:
    """Plan a training for each task, mixer and seed; those of the first seed come first.

    Args:
        folder: Receives the configs.
        tasks: Keys of `TASKS`.
        mixers: Each stands in all four stages.
        seeds: Of weights and of the order of images.
        prepare: Changes a config in place, to data that fits the time there is.
        images: How many the prepared config scores on.
        length: Of each training, in the task's unit; None: as it was prepared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for task in tasks:
        for mixer in mixers:
            backbone = {'mixers': (mixer,) * 4, 'image_size': TASKS[task].image_size}
            options = {f'model.backbone.{key}': value for key, value in backbone.items()}
            cfg = load_config(TASKS[task].config, options, prepare)
            if length is not None:
                set_length(cfg, length)
            budget = {'length': length_of(cfg), 'images': images}
            file = (folder / f'{task}_{mixer}.py').absolute()
            cfg.dump(file)
            runs += [
                Run(
                    name=f'{task}_{mixer}_seed{seed}',
                    config=str(file),
                    options={'randomness.seed': seed},
                    about={'task': task, 'mixer': mixer, 'seed': seed, **budget},
                    curves={SCORE: TASKS[task].key},
                    tested=False,  # there is one set to score on, on which nothing is chosen
                )
                for seed in dict.fromkeys(seeds)
            ]
    return sorted(runs, key=lambda run: list(seeds).index(run.about['seed']))


def learn(runs: Sequence[Run], folder: Path, num_processes: int) -> Outcome:
    """Train what is not trained yet; see `run_all`.

    Raises:
        ValueError: The folder holds trainings of another length, or scored on other images, at one of the tasks; or
            `run_all` refuses.
    """
    budgets = {run.about['task']: (run.about['length'], run.about['images']) for run in runs}
    for one in read_learned(folder):
        if (one.length, one.images) != (budget := budgets.get(one.task, (one.length, one.images))):
            unit = TASKS[one.task].unit
            raise ValueError(
                f'{folder} holds trainings at {one.task} of {counted(one.length, unit)}, scored on {one.images} '
                f'images, not of {counted(budget[0], unit)} and {budget[1]} images; choose another --work-dir'
            )
    return run_all(runs, folder / FOLDER, num_processes)


@dataclass(frozen=True)
class Learned:
    """Scores of a mixer at a task, and how far it is from softmax attention.

    Attributes:
        task: Key of `TASKS`.
        mixer: Its name.
        length: Of each training, in the task's unit.
        images: Each was scored on.
        scores: By seed, in percent.
        spread: Of them.
        beside: Mean difference from softmax attention over the seeds that both have, with its interval; None of softmax
            attention itself, and without such seeds.
    """

    task: str
    mixer: str
    length: int
    images: int
    scores: dict[int, float]
    spread: Spread
    beside: Interval | None


def read_learned(folder: Path) -> list[Learned]:
    """Return what was trained and scored, by task, the best mean first."""
    scores: dict[tuple[str, str], dict[int, float]] = {}
    budgets: dict[str, tuple[int, int]] = {}
    for path in sorted((folder / FOLDER).glob(f'*/{RESULT}')):
        result = json.loads(path.read_text())
        about, curve = result['run'], result[f'{SCORE}_curve']
        value = curve[-1][SCORE] if curve else None
        budgets[about['task']] = (about['length'], about['images'])
        if value is not None:
            percent = value * (100 if TASKS[about['task']].key.startswith('coco/') else 1)
            scores.setdefault((about['task'], about['mixer']), {})[about['seed']] = percent
    found = [
        Learned(
            task,
            mixer,
            *budgets[task],
            own,
            summarize(own.values()),
            _beside(own, scores.get((task, REFERENCE), {}), mixer),
        )
        for (task, mixer), own in scores.items()
    ]
    return sorted(found, key=lambda one: (list(TASKS).index(one.task), -(one.spread.mean or 0)))


def _beside(own: dict[int, float], reference: dict[int, float], mixer: str) -> Interval | None:
    seeds = sorted(own.keys() & reference.keys())
    if mixer == REFERENCE or not seeds:
        return None
    differences = np.array([own[seed] - reference[seed] for seed in seeds])
    drawn = np.random.default_rng(0).choice(differences, (DRAWS, len(seeds)))
    return student_interval(differences, drawn)
