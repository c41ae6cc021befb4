"""A study, its runs and what they come to, as they travel and stand in files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from projects.training.experiments.intervals import Spread

from ..height_classes import HeightClasses
from .differences import Difference

FINISHED, FAILED, MISSING = 'finished', 'failed', 'missing'
MAIN = 'main'  # the setting that the verdict is about
TUNING = 'tuning'  # the setting of the trials, whose test set is never scored


@dataclass(frozen=True)
class Method:
    """A method of a study, as people are told of it.

    Attributes:
        name: As in the study's file.
        title: For people.
        description: Likewise.
        learns_from: Splits that it, or its teacher, is trained on; none of what needs no training.
        total_steps: Steps of an optimizer, of each network that is trained, those of its teacher included.
        target_steps: Those on the target, of the network that is used and its teacher.
        trials: Options that were tried.
        chosen: Those of them that were found best.
        tuned_as: The method whose trials these were, if not its own.
        facts: What it is, by name.
    """

    name: str
    title: str
    description: str = ''
    learns_from: list[str] = field(default_factory=list)
    total_steps: int = 0
    target_steps: int = 0
    trials: list[dict[str, Any]] = field(default_factory=list)
    chosen: dict[str, Any] = field(default_factory=dict)
    tuned_as: str | None = None
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        """Whether it learns at all; baselines do not."""
        return bool(self.learns_from)


@dataclass(frozen=True)
class Axis:
    """What is varied beside the main comparison.

    Attributes:
        name: As in the study's file.
        title: For people.
        unit: Of its values.
        log: Whether it is drawn logarithmically.
        changes: Splits whose tiles differ between the points.
        points: Pairs of a value and the setting that stands for it.
        replicates: So many of each point.
    """

    name: str
    title: str
    unit: str = ''
    log: bool = False
    changes: list[str] = field(default_factory=list)
    points: list[tuple[float, str]] = field(default_factory=list)
    replicates: int = 1


@dataclass(frozen=True)
class StudyRecord:
    """What was compared, as `study.json` in the folder of a study says.

    Attributes:
        name: Of its file.
        title: For people.
        methods: In the order of display, those that need no training last.
        settings: Name of each setting and what its source is, the main one first.
        axes: What is varied.
        replicates: Of the main comparison.
        runs: Name of each planned run, and what it is about.
        parameters: All that the study was made with, the height classes among them.
        panel_tiles: Test tiles that are shown.
        panel_images: Folder of their images, below that of the study.
        panel_labels: Folder of their labels.
        building_heights: Folder of their heights in metres.
        misalignment: By height class, how far the source's labels lie off.
    """

    name: str
    title: str
    methods: list[Method] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)
    axes: list[Axis] = field(default_factory=list)
    replicates: int = 0
    runs: list[dict[str, Any]] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    panel_tiles: list[str] = field(default_factory=list)
    panel_images: str = ''
    panel_labels: str = ''
    building_heights: str = ''
    misalignment: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def height_classes(self) -> HeightClasses:
        """Those of its scores; the default ones if it states none."""
        content = self.parameters.get('height_classes')
        return HeightClasses.from_json(content) if content else HeightClasses()

    def to_json(self) -> dict[str, Any]:
        """As it stands in `study.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """From `study.json`."""
        known = {each.name: content[each.name] for each in fields(cls) if each.name in content}
        known['methods'] = [Method(**method) for method in known.get('methods', [])]
        known['axes'] = [
            Axis(**axis | {'points': [(value, setting) for value, setting in axis['points']]})
            for axis in known.get('axes', [])
        ]
        return cls(**known)


@dataclass(frozen=True)
class RunRecord:
    """A run, and what it has left.

    Attributes:
        name: Of its folder.
        about: Method, setting and replicate; of a trial its number.
        status: FINISHED, FAILED or MISSING.
        folder: Below that of the study; None if there is none.
        error: Of a failed run; of a finished one all that follows.
        scores: Percent, by height class and score; None is undefined, and there are none of a trial.
        counts: Of pixels and objects.
        images: True positives, false positives and false negatives of pixels, by test image and height class.
        background_pixels: Rightly found.
        miou: Of background and building in percent.
        parameters_m: Millions.
        predictions: Folder of the predictions that were kept, below the run's.
        f1_curve: F1 of the validations by iteration.
        loss_curve: Pairs of iteration and loss.
        train_minutes: Of all attempts.
    """

    name: str
    about: dict[str, Any]
    status: str = MISSING
    folder: str | None = None
    error: str = ''
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    images: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    background_pixels: int | None = None
    miou: float | None = None
    parameters_m: float | None = None
    predictions: str | None = None
    f1_curve: dict[int, float | None] = field(default_factory=dict)
    loss_curve: list[tuple[int, float]] = field(default_factory=list)
    train_minutes: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in `results.json`, which leaves the counts of the images to the run's own file."""
        content = {name: value for name, value in asdict(self).items() if name not in ('about', 'error', 'images')}
        content['f1_curve'] = [{'iteration': iteration, 'f1': f1} for iteration, f1 in self.f1_curve.items()]
        if self.status != FINISHED:
            content = {name: content[name] for name in ('name', 'status', 'folder')}
        return {**self.about, **content, **({'error': self.error} if self.status == FAILED else {})}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], name: str, folder: str) -> Self:
        """From `result.json`.

        Raises:
            KeyError, TypeError, AttributeError: There are no scores though the test was scored, or it is none.
        """
        known = {each.name: content[each.name] for each in fields(cls) if each.name in content}
        known['scores'] = {} if content['run'].get('setting') == TUNING else dict(content['scores'])
        known['f1_curve'] = {point['iteration']: point['f1'] for point in content.get('f1_curve', [])}
        return cls(**known | {'name': name, 'about': about(content['run']), 'status': FINISHED, 'folder': folder})


@dataclass(frozen=True)
class MethodSummary:
    """What a method's finished runs in a setting come to: scores by height class and score, costs."""

    replicates: list[int]
    scores: dict[str, dict[str, Spread]]
    miou: Spread
    train_minutes: Spread
    parameters_m: Spread


@dataclass(frozen=True)
class Results:
    """A study and what its runs have left.

    Attributes:
        study: The study.
        runs: The planned ones in their order, then others that were found.
        classes: Height classes that have scores, 'overall' first.
        summary: By setting and method.
        differences: Of each two methods in the main comparison, and each class.
    """

    study: StudyRecord
    runs: list[RunRecord]
    classes: list[str]
    summary: dict[str, dict[str, MethodSummary]]
    differences: list[Difference]

    def to_json(self) -> dict[str, Any]:
        """As it stands in `results.json`."""
        return {
            'study': self.study.to_json(),
            'runs': [run.to_json() for run in self.runs],
            'classes': self.classes,
            'summary': {
                setting: {method: asdict(summary) for method, summary in methods.items()}
                for setting, methods in self.summary.items()
            },
            'differences': [asdict(each) for each in self.differences],
        }

    def spread(self, setting: str, method: str, height_class: str, score: str = 'f1') -> Spread:
        """Return the spread of a score over a method's runs in a setting."""
        return self.summary[setting][method].scores.get(height_class, {}).get(score, Spread())

    def difference(self, method: str, other: str, height_class: str) -> Difference | None:
        """Return how one method's F1 differs from another's in the main comparison, None if that is not known."""
        for each in self.differences:
            if each.height_class == height_class:
                if (each.method, each.other) == (method, other):
                    return each
                if (each.method, each.other) == (other, method):
                    return each.reversed()
        return None


def about(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run is about: all that is said of it but its name."""
    return {key: value for key, value in run.items() if key != 'name'}
