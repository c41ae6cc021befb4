"""Hyper-parameters of every method, chosen by validation on a replicate of their own whose test is never scored."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from projects.training.experiments.runs import RESULT, Run
from projects.training.experiments.schedule import Outcome

from .plan import plan_run
from .records import TUNING, RunRecord
from .results import best_validation, read_json
from .study_file import Study, levels


def plan_trials(
    study: Study, method: str, root: Path, chosen: Mapping[str, Mapping[str, Any]], teacher_trial: int | None
) -> list[Run]:
    """The trials of a method; of one without any that another needs, a single run with what was chosen for it.

    Args:
        study: What is compared.
        method: Its name.
        root: Tiles of the replicate for tuning.
        chosen: Options of the methods that were tuned before.
        teacher_trial: Number of the trial of its teacher that is its teacher now.
    """
    teacher = study.teacher_of(method)
    needs = None if teacher is None else trial_name(teacher, teacher_trial or 0)
    return [
        plan_run(
            study,
            method,
            root,
            trial_name(method, number),
            {'method': method, 'setting': TUNING, 'replicate': study.replicates, 'trial': number},
            options,
            needs,
        )
        for number, options in enumerate(study.methods[method].get('trials') or [chosen.get(method, {})])
    ]


def trial_name(method: str, number: int) -> str:
    """Name of a trial's run."""
    return f'{TUNING}_{method}_t{number}'


def tune(
    study: Study,
    root: Path,
    runs_folder: Path,
    execute: Callable[[Sequence[Run]], Outcome],
    methods: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Choose the options of each method with the best F1 of any validation; trials that are finished are kept.

    Args:
        study: What is compared.
        root: Tiles of the replicate for tuning.
        runs_folder: Where the trials leave their results.
        execute: Executes runs.
        methods: Leave out all others, but not those that these need; None takes all.

    Returns:
        The options by method; empty where there was nothing to choose.

    Raises:
        ValueError: No trial of a method has finished with a score; says why.
    """
    names = study.with_teachers(methods)
    tuned = {study.methods[name].get('tuned_as', name) for name in names}
    names = study.with_teachers([*names, *tuned])
    chosen: dict[str, dict[str, Any]] = {}
    best: dict[str, int] = {}
    needed = {study.teacher_of(name) for name in names if study.methods[name].get('trials')}
    for level in levels(study, names):
        for name in level:
            chosen[name] = dict(chosen.get(study.methods[name].get('tuned_as', ''), {}))
        tried = [name for name in level if study.methods[name].get('trials') or name in needed]
        trials = {
            name: plan_trials(study, name, root, chosen, best.get(study.teacher_of(name) or '')) for name in tried
        }
        outcome = execute([run for runs in trials.values() for run in runs])
        for name, runs in trials.items():
            scores = {number: validation_score(runs_folder / run.name) for number, run in enumerate(runs)}
            known = {number: score for number, score in scores.items() if score is not None}
            if not known:
                reasons = {outcome.failed.get(run.name, 'its validations have no F1') for run in runs}
                raise ValueError(f'{name} cannot be tuned: no trial has a score: {"; ".join(sorted(reasons))}')
            best[name] = max(known, key=lambda number: (known[number], -number))
            if study.methods[name].get('trials'):
                chosen[name] = dict(study.methods[name]['trials'][best[name]])
    return {
        name: dict(chosen.get(study.methods[name].get('tuned_as', name), {})) for name in study.with_teachers(methods)
    }


def validation_score(folder: Path) -> float | None:
    """The highest F1 of a finished run's validations, in percent; None without any."""
    if not (folder / RESULT).is_file():
        return None
    return best_validation(RunRecord.from_json(read_json(folder / RESULT), folder.name, folder.name))
