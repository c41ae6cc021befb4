"""What a study file says: data, methods, steps, trials and axes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from projects.training.experiments.settings import check_group, check_keys, override, read_settings

from .records import MAIN
from .source_labels import MASKS, STATED
from .tile_sets import tile_source

METHOD_KEYS = dict.fromkeys(('title', 'description', 'config', 'steps'), True) | dict.fromkeys(
    ('on', 'labels', 'networks', 'teacher', 'options', 'step_options', 'trials', 'tuned_as', 'adapt', 'facts'), False
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
            - `labels`: Of the source, if it is trained on that: 'stated' (by default); 'aligned', the stated ones laid
              on the buildings of each image, 'told' likewise with its angle and their heights; 'roofs', those that are
              seen, without any fault.
            - `networks`: So many are trained in each step; by default 1.
            - `teacher`: The `method` whose network it needs, and the `options` that take its 'checkpoint' or 'config'.
            - `options`, `step_options`: Of its own, beside those of the study; a step option of None is left out.
            - `trials`: Options, of which those with the best validation are taken; all methods have as many.
            - `tuned_as`: The method whose choice it takes instead of trials of its own.
            - `adapt`: What changes the config of its runs at last, as of `experiments.runs.Run`.
            - `facts`: What it is, by name, for tables.
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
    return study_of(path, read_settings(path, options or {}))


STUDY_KEYS = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(Study) if f.name != 'name'}


def study_of(path: Path, content: dict[str, Any]) -> Study:
    """The study that settings describe; they are checked as `read_study` says.

    Args:
        path: Where they stand.
        content: By the names of `Study`.
    """
    check_keys(f'{path}', content, STUDY_KEYS)
    for part in ('data', 'methods', 'axes', 'options'):
        check_group(f'{path}: {part}', content.get(part, {}))
    content['methods'] = {name: method for name, method in content['methods'].items() if method is not None}
    methods = content['methods']
    for name, method in methods.items():
        check_keys(f'{path}: methods.{name}', method, METHOD_KEYS)
        if method.get('on', 'target') not in SHARE_OF_TARGET:
            raise ValueError(f'{path}: methods.{name}.on is {method["on"]!r}; expected {", ".join(SHARE_OF_TARGET)}')
        labels = method.get('labels', STATED)
        if labels not in MASKS or (labels != STATED and method.get('on', 'target') == 'target'):
            raise ValueError(
                f'{path}: methods.{name}.labels is {labels!r}; expected one of {", ".join(MASKS)}, of a method that is '
                "trained on 'source' or 'both'"
            )
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
        for point in about['points']:
            if not (isinstance(point, Sequence) and len(point) == 2 and isinstance(point[1], Mapping)):
                raise ValueError(
                    f'{path}: axes.{axis}.points has {point!r}; expected a pair of a value and the settings that '
                    'differ there, such as (4, {"target_tiles": 4})'
                )
    study = Study(name=path.stem, **content)
    if study.replicates < 1:
        raise ValueError(f'{path}: replicates is {study.replicates}; expected 1 or more')
    for setting in study.settings().values():
        if tile_source(setting.data).has_source:
            continue
        if taught := [name for name in study.methods if 'source' in study.learns_from(name)]:
            raise ValueError(
                f'{path}: data has no source, from which {", ".join(taught)} learn; give data.domains.source'
            )
    return study


def setting_name(axis: str, value: float) -> str:
    """Name of a point of an axis."""
    return f'{axis}-{value:g}'


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
