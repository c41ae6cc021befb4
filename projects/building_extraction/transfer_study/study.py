"""The study in one call: scenes, runs, report."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from mmengine.fileio import put_text
from mmengine.registry import METRICS

from projects.training.config import load_config, locate
from projects.training.experiments.runs import Run
from projects.training.experiments.schedule import Outcome, run_all

from ..evaluation.height_class_scores import HeightClassScores
from ..height_classes import HeightClasses
from .plan import Study, plan_runs
from .records import MAIN, Method, StudyRecord
from .tile_sets import choose_panels

EVALUATORS = ('val_evaluator', 'test_evaluator')


def height_classes_of(study: Study) -> HeightClasses:
    """The height classes by which the methods' configs, with the study's options, score the test.

    Raises:
        ValueError: They differ between methods.
    """
    found: dict[HeightClasses, str] = {}
    for name, method in study.methods.items():
        if not locate(method['config']).is_file():
            continue  # its runs will say so
        options = dict(study.options) | dict(method.get('options', {}))
        cfg = load_config(
            method['config'], {key: value for key, value in options.items() if key.split('.')[0] in EVALUATORS}
        )
        for evaluator in cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]:
            if METRICS.get(evaluator.type) is HeightClassScores:
                found.setdefault(METRICS.build(evaluator).classes, name)
    if len(found) > 1:
        listed = '; '.join(f'{name}: {classes.limits_m}, {classes.names}' for classes, name in found.items())
        raise ValueError(f'the methods are scored by different height classes, and cannot be compared: {listed}')
    return next(iter(found), HeightClasses())


def run_study(
    study: Study, folder: Path, num_processes: int | None = None, methods: Sequence[str] | None = None
) -> Outcome:
    """Render, train and score all that is not there yet.

    Args:
        study: What is compared.
        folder: Receives `scenes/` (what the source of the tiles writes), `runs/` and `study.json`;
            `report.write_report` makes the rest of them.
        num_processes: Runs at once; None takes the study's.
        methods: Leave out all others; None takes all.

    Returns:
        How the runs ended.
    """
    num_processes = study.num_processes if num_processes is None else num_processes
    scenes = (folder / 'scenes').absolute()
    classes = height_classes_of(study)
    roots: dict[str, Path] = {}
    for name, source in study.sources().items():
        roots[name] = source.prepare(0, scenes / name, classes, roots.get(MAIN))
    panels = choose_panels(roots[MAIN], study.num_panels, classes)
    runs = plan_runs(study, roots, methods, panels)
    record = _record(study, roots[MAIN], folder, classes, panels, runs)
    description = json.dumps(record.to_json(), indent=1)
    describe = partial(put_text, description, str((folder / 'study.json').absolute()))
    return run_all(runs, folder / 'runs', num_processes, describe)


def _record(
    study: Study, main: Path, folder: Path, classes: HeightClasses, panels: list[str], runs: Sequence[Run]
) -> StudyRecord:
    sources = study.sources()
    shown = Path(os.path.relpath(main, folder.absolute())) / 'test'
    planned = {run.about['method'] for run in runs}
    return StudyRecord(
        name=study.name,
        title=study.title,
        methods=[
            Method(name, method['title'], method['description'], method.get('uses_source', False))
            for name, method in study.methods.items()
            if name in planned
        ],
        domains=[{'name': name, **source.about_source()} for name, source in sources.items()],
        angles_deg=list(study.angles_deg),
        seeds=list(study.seeds),
        runs=[{'name': run.name, **run.about} for run in runs],
        parameters={
            'images': sources[MAIN].describe(),
            'data': dict(study.data),
            'height_classes': asdict(classes),
            'options': dict(study.options),
            'methods': {
                name: {'config': method['config'], **dict(method.get('options', {}))}
                for name, method in study.methods.items()
            },
        },
        panel_tiles=panels,
        panel_images=(shown / 'images').as_posix(),
        panel_labels=(shown / 'masks').as_posix(),
        building_heights=(shown / 'heights').as_posix() if (main / 'test' / 'heights').is_dir() else '',
        misalignment=sources[MAIN].misalignment(main, classes),
    )
