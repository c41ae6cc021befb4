"""A study file -> the scenes that it needs and the runs that it consists of."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from projects.training.experiments.runs import Run
from projects.training.experiments.settings import read_settings

from .records import MAIN, angle_domain
from .tile_sets import TileSource, check_keys, tile_source

CURVES = {'f1': 'building/f1'}
SCORES = ['scores', 'counts', 'background_pixels', 'miou']  # of what `HeightClassScores` writes
KEEP_PREDICTIONS = 'projects.building_extraction.transfer_study.panels.KeepPredictions'
METHOD_KEYS = dict.fromkeys(('title', 'description', 'config'), True) | dict.fromkeys(
    ('options', 'teacher', 'uses_source'), False
)


@dataclass(frozen=True)
class Study:
    """What is compared.

    Attributes:
        name: Of its file.
        title: For people.
        data: Where the tiles come from: `type` and fields of a `tile_sets.TileSource`.
        angles_deg: Off-nadir angles; for each, all that uses the source is trained again on a source seen at that angle
            alone.
        angle_seeds: Seeds of those runs.
        seeds: Seeds of the main comparison.
        methods: By name: `title`, `description`, `config`, `options` of its own, `teacher` (the `method` whose network
            it needs, and the `options` that take its 'checkpoint' or 'config') and `uses_source`.
        options: Of every run's config.
        num_panels: Test tiles in the qualitative comparison.
        num_processes: Runs at once.
    """

    name: str
    title: str
    data: Mapping[str, Any]
    seeds: Sequence[int]
    methods: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]
    angles_deg: Sequence[float] = ()
    angle_seeds: Sequence[int] = ()
    num_panels: int = 6
    num_processes: int = 1

    def sources(self) -> dict[str, TileSource]:
        """Where the tiles of the main comparison and of each angle come from, by name."""
        settings = {MAIN: self.data}
        for angle in self.angles_deg:
            source = dict(self.data['domains']['source']) | {'off_nadir_deg': (angle, angle)}
            settings[angle_domain(angle)] = {
                **self.data, 'domains': {**self.data['domains'], 'source': source}
            }  # fmt: skip
        return {name: tile_source(data) for name, data in settings.items()}


def read_study(path: Path, options: Mapping[str, Any] | None = None) -> Study:
    """Read a study file.

    Args:
        path: A Python file of assignments, as mmengine's configs are.
        options: Dotted keys and values that override it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has unknown keys, lacks some, or a method needs one that is not there.
    """
    if not path.is_file():
        raise FileNotFoundError(f'No study {path}; configs/buildings/study_sample.py is one')
    content = read_settings(path, options or {})
    parameters = {field.name: field.default is MISSING for field in fields(Study) if field.name != 'name'}
    check_keys(f'{path}', content, parameters)
    content['methods'] = {name: method for name, method in content['methods'].items() if method is not None}
    for name, method in content['methods'].items():
        check_keys(f'{path}: methods.{name}', method, METHOD_KEYS)
        teacher = method.get('teacher')
        if teacher is not None and teacher['method'] not in content['methods']:
            raise ValueError(
                f'{path}: methods.{name} needs {teacher["method"]!r}, which is not among the methods '
                f'{list(content["methods"])}'
            )
    study = Study(name=path.stem, **content)
    study.sources()
    return study


def plan_runs(
    study: Study, roots: Mapping[str, Path], methods: Sequence[str] | None = None, panel_tiles: Sequence[str] = ()
) -> list[Run]:
    """All runs, those that others need first, the main comparison before the angles.

    Args:
        study: What is compared.
        roots: Folder with the tiles of the main comparison and of each angle, by name.
        methods: Leave out all others, but not those that these need; None takes all.
        panel_tiles: Test tiles whose predictions are kept.

    Raises:
        ValueError: A method is unknown.
    """
    if unknown := set(methods or ()) - study.methods.keys():
        raise ValueError(f'unknown methods {sorted(unknown)}; the study has {list(study.methods)}')
    wanted = set(methods or study.methods)
    needed = {study.methods[name]['teacher']['method'] for name in wanted if study.methods[name].get('teacher')}
    chosen = {name: method for name, method in study.methods.items() if name in wanted | needed}
    runs = []
    for domain in roots:
        for seed in study.seeds if domain == MAIN else study.angle_seeds:
            for name, method in chosen.items():
                if domain == MAIN or method.get('uses_source', False):
                    tiles = panel_tiles if domain == MAIN and seed == study.seeds[0] else ()
                    runs.append(_run(study, roots[domain], domain, seed, name, tiles))
    return _teachers_first(runs)


def run_name(domain: str, method: str, seed: int) -> str:
    """Name of a run, and of its folder."""
    return f'{domain}_{method}_seed{seed}'


def _run(study: Study, data_root: Path, domain: str, seed: int, name: str, panel_tiles: Sequence[str]) -> Run:
    method = study.methods[name]
    teacher = method.get('teacher')
    options = dict(study.options) | dict(method.get('options', {}))
    options |= {'data_root': str(data_root), 'randomness.seed': seed}
    return Run(
        name=run_name(domain, name, seed),
        config=method['config'],
        options=options,
        about={
            'method': name,
            'domain': domain,
            'seed': seed,
        },
        needs=run_name(domain, teacher['method'], seed) if teacher else None,
        from_needed=dict(teacher['options']) if teacher else {},
        curves=CURVES,
        scores=SCORES,
        kept={'predictions': {'type': KEEP_PREDICTIONS, 'tiles': list(panel_tiles)}} if panel_tiles else {},
    )


def _teachers_first(runs: list[Run]) -> list[Run]:
    """The same runs, in each domain those first that others wait for; so no process idles at a domain's end."""
    needed = {run.needs for run in runs}
    domains = list(dict.fromkeys(run.about['domain'] for run in runs))
    return sorted(runs, key=lambda run: (domains.index(run.about['domain']), run.name not in needed))
