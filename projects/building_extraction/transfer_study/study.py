"""The study in one call: scenes, runs, report."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from mmengine.fileio import put_text
from mmengine.registry import METRICS

from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain
from projects.city_scenes.footprints import read_city
from projects.city_scenes.procedural_city import procedural_city
from projects.training.config import load_config, locate
from projects.training.experiments.runs import Run
from projects.training.experiments.schedule import Outcome, run_all

from ..evaluation.height_class_scores import HeightClassScores
from ..height_classes import HeightClasses
from ..preparation.scenes.tiles import write_scenes
from .plan import Study, plan_runs
from .records import MAIN, Method, StudyRecord

EVALUATORS = ('val_evaluator', 'test_evaluator')


def study_city(study: Study) -> tuple[City, str]:
    """The city of a study and what it is: the first of its footprint files that exists, else the procedural one."""
    city = dict(study.city)
    for name in city.get('footprints', ()):
        if (path := locate(name)).is_file():
            return read_city(path, city.get('height_column'), city.get('structure_column')), path.name
    size_m, seed = city['otherwise']['size_m'], city['otherwise']['seed']
    return procedural_city(size_m, seed), f'procedural city of {size_m} m, seed {seed}'


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


def render_scenes(study: Study, folder: Path, classes: HeightClasses) -> str:
    """Render the scenes of every source domain; those that exist are kept.

    All have the same target, val and test, which are rendered once.

    Returns:
        What the city is.
    """
    city, description = study_city(study)
    steepest_deg = max(source['off_nadir_deg'][1] for source in study.source_domains().values())
    for name, source in study.source_domains().items():
        domains = {
            split: Domain(**(source if split == 'source' else domain)) for split, domain in study.domains.items()
        }
        write_scenes(
            city,
            domains,
            study.gsd_m,
            study.tile_px,
            folder / name,
            study.scene_seed,
            ground_shares=study.ground_shares,
            height_classes=classes,
            gap_off_nadir_deg={'source': steepest_deg},
            like=None if name == MAIN else folder / MAIN,
        )
    return description


def misalignment(study: Study, scenes: Path, classes: HeightClasses) -> dict[str, dict[str, float]]:
    """How far the source's labels lie from the roofs that are seen, by height class.

    Footprints lie off by the roofs' offset and by the registration error, other labels by the latter alone.

    Returns:
        For each class that occurs: `median_px`, `p90_px`, `median_m` of the distance, and the number of `buildings`.
    """
    distances_px: dict[str, list[float]] = {}
    for file in sorted((scenes / 'source' / 'buildings').glob('*.json')):
        for building in json.loads(file.read_text()):
            if building['height_m'] is not None:
                name = classes.names[int(classes.index(building['height_m']))]
                lean_px = building['offset_px'] if study.domains['source']['label'] == 'footprint' else (0, 0)
                east_m, north_m = building['label_displacement_m']
                off_px = np.array([east_m, -north_m]) / study.gsd_m - lean_px
                distances_px.setdefault(name, []).append(float(np.hypot(*off_px)))
    return {
        name: {
            'median_px': round(float(np.median(distances_px[name])), 1),
            'p90_px': round(float(np.quantile(distances_px[name], 0.9)), 1),
            'median_m': round(float(np.median(distances_px[name])) * study.gsd_m, 1),
            'buildings': len(distances_px[name]),
        }
        for name in classes.names
        if name in distances_px
    }


def choose_panels(test: Path, number: int, classes: HeightClasses) -> list[str]:
    """Test tiles for the qualitative comparison: those with the most building classes and buildings, highest first."""
    ranked = []
    for file in sorted((test / 'buildings').glob('*.json')):
        heights_m = [b['height_m'] for b in json.loads(file.read_text()) if b['height_m'] is not None]
        present = {int(index) for index in classes.index(np.array(heights_m, float))}
        ranked.append((-len(present), -max(heights_m, default=0), file.stem))
    return [name for *_, name in sorted(ranked)[:number]]


def run_study(
    study: Study, folder: Path, num_processes: int | None = None, methods: Sequence[str] | None = None
) -> Outcome:
    """Render, train and score all that is not there yet.

    Args:
        study: What is compared.
        folder: Receives `scenes/`, `runs/` and `study.json`; `report.write_report` makes the rest of them.
        num_processes: Runs at once; None takes the study's.
        methods: Leave out all others; None takes all.

    Returns:
        How the runs ended.
    """
    num_processes = study.num_processes if num_processes is None else num_processes
    scenes = (folder / 'scenes').absolute()
    classes = height_classes_of(study)
    city = render_scenes(study, scenes, classes)
    panels = choose_panels(scenes / MAIN / 'test', study.num_panels, classes)
    runs = plan_runs(study, scenes, methods, panels)
    record = _record(study, scenes, city, classes, panels, runs)
    description = json.dumps(record.to_json(), indent=1)
    describe = partial(put_text, description, str((folder / 'study.json').absolute()))
    return run_all(runs, folder / 'runs', num_processes, describe)


def _record(
    study: Study, scenes: Path, city: str, classes: HeightClasses, panels: list[str], runs: Sequence[Run]
) -> StudyRecord:
    planned = {run.about['method'] for run in runs}
    return StudyRecord(
        name=study.name,
        title=study.title,
        methods=[
            Method(name, method['title'], method['description'], method.get('uses_source', False))
            for name, method in study.methods.items()
            if name in planned
        ],
        domains=[{'name': name, **domain} for name, domain in study.source_domains().items()],
        angles_deg=list(study.angles_deg),
        seeds=list(study.seeds),
        runs=[{'name': run.name, **run.about} for run in runs],
        parameters={
            'city': city,
            'gsd_m': study.gsd_m,
            'tile_px': study.tile_px,
            'scene_seed': study.scene_seed,
            'height_classes': asdict(classes),
            'domains': {name: dict(domain) for name, domain in study.domains.items()},
            'options': dict(study.options),
            'methods': {
                name: {'config': method['config'], **dict(method.get('options', {}))}
                for name, method in study.methods.items()
            },
        },
        panel_tiles=panels,
        panel_images=f'scenes/{MAIN}/test/images',
        panel_labels=f'scenes/{MAIN}/test/masks',
        building_heights=f'scenes/{MAIN}/test/heights',
        misalignment=misalignment(study, scenes / MAIN, classes),
    )
