"""A study file -> the tiles that it needs and the runs that it consists of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from projects.training.experiments.runs import Run
from projects.training.experiments.settings import override, read_settings

from .records import MAIN, TUNING
from .tile_sets import check_keys, tile_source, tiles

CURVES = {'f1': 'building/f1'}
SCORES = ['scores', 'counts', 'background_pixels', 'miou', 'images']  # of what `HeightClassScores` writes
KEEP_PREDICTIONS = 'projects.building_extraction.transfer_study.panels.KeepPredictions'
METHOD_KEYS = dict.fromkeys(('title', 'description', 'config', 'steps'), True) | dict.fromkeys(
    ('on', 'networks', 'teacher', 'options', 'step_options', 'trials', 'tuned_as'), False
)
AXIS_KEYS = dict.fromkeys(('title', 'changes', 'points'), True) | dict.fromkeys(
    ('unit', 'log', 'methods', 'replicates'), False
)
SHARE_OF_TARGET = {'source': 0.0, 'both': 0.5, 'target': 1.0}


@dataclass(frozen=True)
class Study:
    """What is compared.

    A replicate is one draw of all that is left to chance, at once: scenes, partition of the ground, order of training
    and initial weights (Bouthillier et al., arXiv 2103.03098). The methods of a replicate share all of it.

    Attributes:
        name: Of its file.
        title: For people.
        data: Where the tiles come from: `type` and fields of a `tile_sets.TileSource`.
        methods: By name, a mapping with:

            - `title`, `description`, `config`: For people, and the config of its runs.
            - `steps`: Of its own training, which the options follow by `step_options`.
            - `on`: 'source', 'target' or 'both' (half of each): the tiles that it is trained on; by default 'target'.
            - `networks`: So many are trained in each step; by default 1.
            - `teacher`: The `method` whose network it needs, and the `options` that take its 'checkpoint' or 'config'.
            - `options`, `step_options`: Of its own, beside those of the study; a step option of None is left out.
            - `trials`: Options, of which those with the best validation are taken; all methods have as many.
            - `tuned_as`: The method whose choice it takes instead of trials of its own.
        options: Of every run's config.
        step_options: Keys of the configs, and which share of a method's steps each of them is.
        target_tiles: Clean tiles that methods learn from: so many of those that there are, at random; None takes all.
        replicates: Of the main comparison.
        axes: What is varied beside the main comparison, by name, a mapping with:

            - `title`, `unit`, `log`: For people, and whether its axis is logarithmic.
            - `points`: Pairs of a value and the dotted keys of the study that make it.
            - `changes`: Splits whose tiles differ between the points; methods that learn from none of them are not
              trained again, unless 'test' is one.
            - `methods`, `replicates`: Fewer than there are.
        num_panels: Test tiles in the qualitative comparison.
        num_processes: Runs at once.
    """

    name: str
    title: str
    data: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]
    step_options: Mapping[str, float]
    target_tiles: int | None = None
    replicates: int = 5
    axes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    num_panels: int = 6
    num_processes: int = 1

    def at(self, overrides: Mapping[str, Any]) -> Self:
        """The study with other settings, dotted keys as on the command line."""
        return replace(self, **override({**asdict(self), 'axes': {}}, overrides) | {'axes': self.axes})

    def settings(self) -> dict[str, Self]:
        """The study itself as 'main', and at the points of its axes; a point at which nothing differs is 'main'."""
        points = {
            setting_name(axis, value): self.at(overrides)
            for axis, about in self.axes.items()
            for value, overrides in about['points']
        }
        return {MAIN: self, **{name: study for name, study in points.items() if study != self}}

    def teacher_of(self, method: str) -> str | None:
        """The method whose network another one needs."""
        teacher = self.methods[method].get('teacher')
        return teacher['method'] if teacher else None

    def learns_from(self, method: str) -> set[str]:
        """Splits that a method, or its teacher, is trained on."""
        on, teacher = self.methods[method].get('on', 'target'), self.teacher_of(method)
        return ({'source', 'target'} if on == 'both' else {on}) | (self.learns_from(teacher) if teacher else set())

    def total_steps(self, method: str) -> int:
        """Steps of an optimizer, of each network that is trained, those of its teacher included."""
        teacher, about = self.teacher_of(method), self.methods[method]
        return about['steps'] * about.get('networks', 1) + (self.total_steps(teacher) if teacher else 0)

    def target_steps(self, method: str) -> int:
        """Steps on the target of the network that is used, and of its teacher; of mixed batches the target's share."""
        teacher, about = self.teacher_of(method), self.methods[method]
        own = round(about['steps'] * SHARE_OF_TARGET[about.get('on', 'target')])
        return own + (self.target_steps(teacher) if teacher else 0)

    def with_teachers(self, methods: Sequence[str] | None) -> list[str]:
        """Methods and those that they need, in the study's order; None takes all.

        Raises:
            ValueError: One is unknown.
        """
        if unknown := set(methods or ()) - self.methods.keys():
            raise ValueError(f'unknown methods {sorted(unknown)}; the study has {list(self.methods)}')
        needed: set[str] = set()
        for name in methods or self.methods:
            while name is not None and name not in needed:
                needed.add(name)
                name = self.teacher_of(name)  # type: ignore[assignment]
        return [name for name in self.methods if name in needed]


def read_study(path: Path, options: Mapping[str, Any] | None = None) -> Study:
    """Read a study file.

    Args:
        path: A Python file of assignments, as mmengine's configs are.
        options: Dotted keys and values that override it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has unknown keys, lacks some, a method needs one that is not there, or methods have different
            numbers of trials.
    """
    if not path.is_file():
        raise FileNotFoundError(f'No study {path}; configs/buildings/study_sample.py is one')
    content = read_settings(path, options or {})
    known = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(Study) if f.name != 'name'}
    check_keys(f'{path}', content, known)
    content['methods'] = {name: method for name, method in content['methods'].items() if method is not None}
    methods = content['methods']
    for name, method in methods.items():
        check_keys(f'{path}: methods.{name}', method, METHOD_KEYS)
        if method.get('on', 'target') not in SHARE_OF_TARGET:
            raise ValueError(f'{path}: methods.{name}.on is {method["on"]!r}; expected {", ".join(SHARE_OF_TARGET)}')
        for other in filter(None, [(method.get('teacher') or {}).get('method'), method.get('tuned_as')]):
            if other not in methods:
                raise ValueError(
                    f'{path}: methods.{name} needs {other!r}, which is not among the methods {list(methods)}'
                )
    numbers = {name: len(method.get('trials', ())) for name, method in methods.items() if not method.get('tuned_as')}
    if len(set(numbers.values())) > 1:
        raise ValueError(f'{path}: methods are tuned by different numbers of trials, which is not fair: {numbers}')
    for axis, about in content.get('axes', {}).items():
        check_keys(f'{path}: axes.{axis}', about, AXIS_KEYS)
    study = Study(name=path.stem, **content)
    if study.replicates < 1:
        raise ValueError(f'{path}: replicates is {study.replicates}; expected 1 or more')
    for setting in study.settings().values():
        tile_source(setting.data)
    return study


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


def setting_name(axis: str, value: float) -> str:
    """Name of a point of an axis."""
    return f'{axis}-{value:g}'


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
    if on == 'source':
        return {}
    if on == 'target':
        return {'train_dataloader.dataset.indices': chosen}
    source, target = len(tiles(root, 'source')), len(chosen)
    times = [max(round(target / source), 1), max(round(source / target), 1)]
    part = {'data_prefix': {'img_path': 'target/images', 'seg_map_path': 'target/masks'}, 'indices': chosen}
    return {'train_dataloader.dataset.parts': [{}, part], 'train_dataloader.dataset.times': times}


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


def levels(study: Study, methods: Sequence[str]) -> Iterator[list[str]]:
    """Methods that need, or are tuned as, none of the others, then those that need these alone, and so on."""
    waiting = list(methods)
    done: set[str | None] = {None}
    while waiting:
        ready = [n for n in waiting if {study.teacher_of(n), study.methods[n].get('tuned_as')} <= done]
        if not ready:
            raise ValueError(f'the methods {waiting} need one another')
        yield ready
        done |= set(ready)
        waiting = [name for name in waiting if name not in done]
