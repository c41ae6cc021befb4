"""The study in one call: tiles, trials, runs."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.registry import METRICS

from projects.storage.atomic_files import write_file
from projects.storage.locations import locate
from projects.training.config import load_config
from projects.training.experiments.runs import Run
from projects.training.experiments.schedule import Outcome, run_all

from ..evaluation.height_class_scores import HeightClassScores
from ..height_classes import HeightClasses
from .baselines import BASELINES, score_baselines
from .plan import axis_of, plan_runs
from .records import MAIN, TUNING, Axis, Method, StudyRecord
from .source_labels import STATED
from .study_file import Study, setting_name
from .tile_sets import choose_panels, tile_source, tiles
from .tuning import plan_trials, tune

EVALUATORS = ('val_evaluator', 'test_evaluator')


def height_classes_of(study: Study) -> HeightClasses:
    """The height classes by which the methods' configs, with the study's options, score the test.

    Raises:
        ValueError: They differ between methods.
    """
    found: dict[HeightClasses, str] = {}
    scored: list[tuple[str, dict[str, Any]]] = []
    for name, method in study.methods.items():
        options = dict(study.options) | dict(method.get('options', {}))
        options = {key: value for key, value in options.items() if key.split('.')[0] in EVALUATORS}
        if not locate(method['config']).is_file() or (method['config'], options) in scored:
            continue  # runs of a config that is not there will say so
        scored.append((method['config'], options))
        cfg = load_config(method['config'], options)
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
    """Prepare tiles, choose hyper-parameters, train and score: all that is not there yet.

    Args:
        study: What is compared.
        folder: Receives `tiles/` (what the source of the tiles writes), `runs/` and `study.json`;
            `report.write_report` makes the rest of them.
        num_processes: Runs at once; None takes the study's.
        methods: Leave out all others; None takes all.

    Returns:
        How the runs ended, trials included.

    Raises:
        ValueError: There are fewer tiles than the methods need, a method cannot be tuned, or the folder holds a study
            of other settings.
    """
    num_processes = study.num_processes if num_processes is None else num_processes
    names = study.with_teachers(methods)  # refuses unknown ones before tiles are written
    classes = height_classes_of(study)
    roots = prepare_tiles(study, (folder / 'tiles').absolute(), classes, names)
    panels = choose_panels(roots[MAIN, 0], study.num_panels, classes)
    runs_folder = folder / 'runs'
    ended = Outcome([], {})

    def execute(runs: Sequence[Run]) -> Outcome:
        describe = partial(_describe, study, folder, roots, classes, panels, names, chosen)
        outcome = run_all(runs, runs_folder, num_processes, describe)
        ended.finished += outcome.finished
        ended.failed |= outcome.failed
        return outcome

    chosen: dict[str, dict[str, Any]] = {}
    plan_runs(study, roots, {}, names)  # refuses too few tiles before anything is trained
    if any(study.methods[name].get('trials') for name in names):
        chosen = tune(study, roots[TUNING, study.replicates], runs_folder, execute, names)
    for replicate in range(study.replicates):
        score_baselines(study, roots[MAIN, replicate], runs_folder, replicate)
    execute(plan_runs(study, roots, chosen, names, panels))
    return ended


def prepare_tiles(
    study: Study, folder: Path, classes: HeightClasses, methods: Sequence[str]
) -> dict[tuple[str, int], Path]:
    """The tiles of each setting and replicate, written where they are not there; settings of the same data share them.

    Points of an axis with more clean tiles than there are, are left out. The source gets the labels that the methods
    trained on it learn from.
    """
    wanted = [(MAIN, replicate) for replicate in range(study.replicates)]
    if any(method.get('trials') for method in study.methods.values()):
        wanted.append((TUNING, study.replicates))
    settings = study.settings() | {TUNING: study}
    for setting in settings:
        if (axis := axis_of(study, setting)) and setting != TUNING:
            wanted += [(setting, replicate) for replicate in range(axis.get('replicates', study.replicates))]
    roots: dict[tuple[str, int], Path] = {}
    for setting, replicate in wanted:
        at = settings[setting]
        main = roots.get((MAIN, replicate))
        if at.data == study.data and main is not None:
            root = main
        else:
            place = folder / f'{MAIN if at.data == study.data else setting}_r{replicate}'
            root = tile_source(at.data).prepare(replicate, place, classes, main)
        there = len(tiles(root, 'target'))
        if setting not in (MAIN, TUNING) and at.target_tiles is not None and at.target_tiles > there:
            print_log(f'{setting}: left out, replicate {replicate} has {there} clean tiles', logger='current')
        else:
            roots[setting, replicate] = root
            for labels in {study.methods[name].get('labels', STATED) for name in methods}:
                tile_source(at.data).label_source(root, labels)
    return roots


def _describe(
    study: Study,
    folder: Path,
    roots: Mapping[tuple[str, int], Path],
    classes: HeightClasses,
    panels: list[str],
    names: Sequence[str],
    chosen: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write `study.json`."""
    main, source = roots[MAIN, 0], tile_source(study.data)
    shown = Path(os.path.relpath(main, folder.absolute())) / 'test'
    settings = {name: at for name, at in study.settings().items() if any(name == setting for setting, _ in roots)}
    trials = [
        run
        for name in names
        if study.methods[name].get('trials')
        for run in plan_trials(study, name, roots[TUNING, study.replicates], {}, None)
    ]
    runs = [*trials, *plan_runs(study, roots, {}, names)]
    record = StudyRecord(
        name=study.name,
        title=study.title,
        methods=[
            *(
                Method(
                    name,
                    study.methods[name]['title'],
                    study.methods[name]['description'],
                    sorted(study.learns_from(name)),
                    study.total_steps(name),
                    study.target_steps(name),
                    [dict(options) for options in study.methods[name].get('trials', ())],
                    dict(chosen.get(name, {})),
                    study.methods[name].get('tuned_as'),
                    dict(study.methods[name].get('facts', {})),
                )
                for name in names
            ),
            *BASELINES,
        ],
        settings=[{'name': name, **tile_source(at.data).about_source()} for name, at in settings.items()],
        axes=[
            Axis(
                name,
                about['title'],
                about.get('unit', ''),
                about.get('log', False),
                list(about['changes']),
                _points(study, name, settings),
                min(about.get('replicates', study.replicates), study.replicates),
            )
            for name, about in study.axes.items()
        ],
        replicates=study.replicates,
        runs=[{'name': run.name, **run.about} for run in runs],
        parameters={
            'images': source.describe(),
            'data': dict(study.data),
            'target_tiles': study.target_tiles,
            'height_classes': asdict(classes),
            'options': dict(study.options),
            'methods': {
                name: {'config': study.methods[name]['config'], **dict(study.methods[name].get('options', {}))}
                for name in names
            },
        },
        panel_tiles=panels,
        panel_images=(shown / 'images').as_posix(),
        panel_labels=(shown / 'masks').as_posix(),
        building_heights=(shown / 'heights').as_posix() if (main / 'test' / 'heights').is_dir() else '',
        misalignment=source.misalignment(main, classes),
    )
    write_file(folder / 'study.json', json.dumps(record.to_json(), indent=1))


def _points(study: Study, axis: str, settings: Mapping[str, Study]) -> list[tuple[float, str]]:
    """Values of an axis and their settings; those at which nothing differs are the main one's."""
    named = [(value, setting_name(axis, value)) for value, _ in study.axes[axis]['points']]
    all_settings = study.settings()
    return [
        (value, name if name in settings else MAIN)
        for value, name in named
        if name in settings or name not in all_settings
    ]
