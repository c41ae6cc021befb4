"""A study, its runs and what they come to, as they travel and stand in files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from ..height_classes import HeightClasses
from .comparison import Comparison, Spread

FINISHED, FAILED, MISSING = 'finished', 'failed', 'missing'
MAIN = 'main'  # the domain that the verdict is about


@dataclass(frozen=True)
class Method:
    """A method of a study, as people are told of it."""

    name: str
    title: str
    description: str
    uses_source: bool


@dataclass(frozen=True)
class StudyRecord:
    """What was compared, as `study.json` in the folder of a study says; of a grid of networks, its runs alone.

    Attributes:
        name: Of its file.
        title: For people.
        methods: In the order of display.
        domains: Name and parameters of each source domain, the main one first.
        angles_deg: Each with a source domain of its own.
        seeds: Of the main comparison.
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
    domains: list[dict[str, Any]] = field(default_factory=list)
    angles_deg: list[float] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    panel_tiles: list[str] = field(default_factory=list)
    panel_images: str = ''
    panel_labels: str = ''
    building_heights: str = ''
    misalignment: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def height_classes(self) -> HeightClasses:
        """Those of its scores; the default ones if an earlier version, which had no others, wrote the file."""
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
        return cls(**known)


@dataclass(frozen=True)
class RunRecord:
    """A run, and what it has left.

    Attributes:
        name: Of its folder.
        about: Method, domain and seed, or encoder, decoder, loss, optimizer and seed.
        status: FINISHED, FAILED or MISSING.
        folder: Below that of the study; None if there is none.
        error: Of a failed run; of a finished one all that follows.
        scores: Percent, by height class and score; None is undefined.
        counts: Of pixels and objects.
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
    background_pixels: int | None = None
    miou: float | None = None
    parameters_m: float | None = None
    predictions: str | None = None
    f1_curve: dict[int, float | None] = field(default_factory=dict)
    loss_curve: list[tuple[int, float]] = field(default_factory=list)
    train_minutes: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in `results.json`."""
        content = {name: value for name, value in asdict(self).items() if name not in ('about', 'error')}
        content['f1_curve'] = [{'iteration': iteration, 'f1': f1} for iteration, f1 in self.f1_curve.items()]
        if self.status != FINISHED:
            content = {name: content[name] for name in ('name', 'status', 'folder')}
        return {**self.about, **content, **({'error': self.error} if self.status == FAILED else {})}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], name: str, folder: str) -> Self:
        """From `result.json`.

        Raises:
            KeyError, TypeError, AttributeError: There are no scores, or it is none.
        """
        known = {each.name: content[each.name] for each in fields(cls) if each.name in content}
        known['scores'] = dict(content['scores'])
        known['f1_curve'] = {point['iteration']: point['f1'] for point in content.get('f1_curve', [])}
        return cls(**known | {'name': name, 'about': about(content['run']), 'status': FINISHED, 'folder': folder})


@dataclass(frozen=True)
class MethodSummary:
    """What a method's finished runs on a domain come to: scores by height class and score, costs."""

    seeds: list[int]
    scores: dict[str, dict[str, Spread]]
    miou: Spread
    train_minutes: Spread
    parameters_m: Spread


@dataclass(frozen=True)
class MethodComparison:
    """How one method compares with another by a score of a height class."""

    method: str
    other: str
    height_class: str
    score: str
    comparison: Comparison

    def to_json(self) -> dict[str, Any]:
        """As it stands in `results.json`."""
        own = {'method': self.method, 'other': self.other, 'class': self.height_class, 'score': self.score}
        return own | asdict(self.comparison)


@dataclass(frozen=True)
class Results:
    """A study and what its runs have left.

    Attributes:
        study: The study.
        runs: The planned ones in their order, then others that were found.
        classes: Height classes that have scores, 'overall' first.
        summary: By domain and method.
        comparisons: By domain, of each two methods and each class, F1.
    """

    study: StudyRecord
    runs: list[RunRecord]
    classes: list[str]
    summary: dict[str, dict[str, MethodSummary]]
    comparisons: dict[str, list[MethodComparison]]

    def to_json(self) -> dict[str, Any]:
        """As it stands in `results.json`."""
        return {
            'study': self.study.to_json(),
            'runs': [run.to_json() for run in self.runs],
            'classes': self.classes,
            'summary': {
                domain: {method: asdict(summary) for method, summary in methods.items()}
                for domain, methods in self.summary.items()
            },
            'comparisons': {domain: [each.to_json() for each in found] for domain, found in self.comparisons.items()},
        }

    def spread(self, domain: str, method: str, height_class: str, score: str = 'f1') -> Spread:
        """Return the spread of a score over a method's runs on a domain."""
        return self.summary[domain][method].scores.get(height_class, {}).get(score, Spread())


def about(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run is about: all that is said of it but its name."""
    return {key: value for key, value in run.items() if key != 'name'}


def angle_domain(angle_deg: float) -> str:
    """Return the name of the source domain that is seen at one angle only."""
    return f'angle-{angle_deg:g}'
