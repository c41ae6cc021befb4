"""A study -> the runs that it consists of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from projects.training.experiments.runs import Run

from .records import MAIN, TUNING
from .source_labels import MASKS, STATED
from .study_file import Study
from .tile_sets import tiles

CURVES = {'f1': 'building/f1'}
SCORES = ['scores', 'counts', 'background_pixels', 'miou', 'images']  # of what `HeightClassScores` writes
KEEP_PREDICTIONS = 'projects.building_extraction.transfer_study.panels.KeepPredictions'


def plan_runs(
    study: Study,
    roots: Mapping[tuple[str, int], Path],
    chosen: Mapping[str, Mapping[str, Any]],
    methods: Sequence[str] | None = None,
    panel_tiles: Sequence[str] = (),
) -> list[Run]:
    """All runs but the trials, those that others need first, the main comparison before the axes.

    Args:
        study: What is compared.
        roots: Folder with the tiles of each setting and replicate; a setting without any is left out.
        chosen: Options that the trials have found best, by method.
        methods: Leave out all others, but not those that these need; None takes all.
        panel_tiles: Test tiles whose predictions are kept.

    Raises:
        ValueError: A method is unknown, or there are fewer tiles than it needs.
    """
    names, runs = study.with_teachers(methods), []
    for setting, at in study.settings().items():
        axis = axis_of(study, setting)
        for replicate in range(min(axis.get('replicates', study.replicates), study.replicates)):
            if (setting, replicate) not in roots:
                continue
            shown = panel_tiles if (setting, replicate) == (MAIN, 0) else ()
            batch = []
            for name in names:
                if trained_at(study, setting, name):
                    teacher = at.teacher_of(name)
                    apart = teacher and trained_at(study, setting, teacher)
                    batch.append(
                        plan_run(
                            at,
                            name,
                            roots[setting, replicate],
                            run_name(setting, name, replicate),
                            {'method': name, 'setting': setting, 'replicate': replicate},
                            chosen.get(name, {}),
                            run_name(setting if apart else MAIN, teacher, replicate) if teacher else None,
                            shown,
                        )
                    )
            runs += batch
    return _teachers_first(runs)


def axis_of(study: Study, setting: str) -> Mapping[str, Any]:
    """The axis of a setting; empty for the main one."""
    return next((about for axis, about in study.axes.items() if setting.startswith(f'{axis}-')), {})


def trained_at(study: Study, setting: str, method: str) -> bool:
    """Whether a method is trained anew in a setting, for what differs there."""
    axis = axis_of(study, setting)
    if not axis:
        return True
    if axis.get('methods') is not None and method not in study.with_teachers(axis['methods']):
        return False
    return bool({'test', *study.learns_from(method)} & set(axis['changes']))


def run_name(setting: str, method: str, replicate: int) -> str:
    """Name of a run, and of its folder."""
    return f'{setting}_{method}_r{replicate}'


def plan_run(
    study: Study,
    method: str,
    root: Path,
    name: str,
    about: Mapping[str, Any],
    chosen: Mapping[str, Any],
    needs: str | None,
    panel_tiles: Sequence[str] = (),
) -> Run:
    """One run of a method.

    Args:
        study: At the run's setting.
        method: Its name.
        root: Folder of the tiles.
        name: Of the run.
        about: Its method, setting and replicate, which is also the seed of its training.
        chosen: Options that trials have found best, or that are on trial.
        needs: The run of its teacher.
        panel_tiles: Test tiles whose predictions are kept.

    Raises:
        ValueError: There are fewer tiles than it needs.
    """
    stated = study.methods[method]
    teacher = stated.get('teacher')
    return Run(
        name=name,
        config=stated['config'],
        options={
            **study.options,
            **_step_options(study, stated),
            **stated.get('options', {}),
            **chosen,
            **_tile_options(study, stated, root, about['replicate']),
            'data_root': str(root),
            'randomness.seed': about['replicate'],
        },
        about=dict(about),
        needs=needs,
        from_needed=dict(teacher['options']) if teacher else {},
        curves=CURVES,
        scores=SCORES,
        adapt=stated.get('adapt'),
        kept={'predictions': {'type': KEEP_PREDICTIONS, 'tiles': list(panel_tiles)}} if panel_tiles else {},
        best=CURVES['f1'],
        tested=about['setting'] != TUNING,
    )


def _step_options(study: Study, method: Mapping[str, Any]) -> dict[str, int]:
    shares = {**study.step_options, **method.get('step_options', {})}
    return {key: max(round(share * method['steps']), 1) for key, share in shares.items() if share is not None}


def _tile_options(study: Study, method: Mapping[str, Any], root: Path, replicate: int) -> dict[str, Any]:
    """Which clean tiles are learnt from, and how often each stands in mixed batches so that they are half."""
    on, chosen = method.get('on', 'target'), clean_tiles(study, root, replicate)
    labels = method.get('labels', STATED)
    masks = {} if labels == STATED else {'train_dataloader.dataset.data_prefix.seg_map_path': MASKS[labels]}
    if on == 'source':
        return masks
    if on == 'target':
        return {'train_dataloader.dataset.indices': chosen}
    source, target = len(tiles(root, 'source')), len(chosen)
    times = [max(round(target / source), 1), max(round(source / target), 1)]
    part = {'data_prefix': {'img_path': 'target/images', 'seg_map_path': 'target/masks'}, 'indices': chosen}
    return masks | {'train_dataloader.dataset.parts': [{}, part], 'train_dataloader.dataset.times': times}


def clean_tiles(study: Study, root: Path, replicate: int) -> list[int]:
    """Numbers of the target tiles that methods learn from; those of fewer tiles are among those of more.

    Raises:
        ValueError: There are fewer tiles than the study asks for, or none.
    """
    there, wanted = len(tiles(root, 'target')), study.target_tiles
    if not there or (wanted is not None and not 1 <= wanted <= there):
        raise ValueError(
            f'target_tiles is {wanted}, and {root / "target"} has {there} tiles; take 1 to {max(there, 1)} of them, or '
            'give more'
        )
    return sorted(np.random.default_rng(replicate).permutation(there)[:wanted].tolist())


def _teachers_first(runs: list[Run]) -> list[Run]:
    """The same runs, in each setting those first that others wait for; so no process idles at a setting's end."""

    def depth(name: str | None) -> int:
        return 0 if name is None else 1 + max(map(depth, needing.get(name, [None])), default=0)

    needing: dict[str, list[str | None]] = {}
    for run in runs:
        if run.needs:
            needing.setdefault(run.needs, []).append(run.name)
    settings = list(dict.fromkeys(run.about['setting'] for run in runs))
    return sorted(runs, key=lambda run: (settings.index(run.about['setting']), -depth(run.name)))
