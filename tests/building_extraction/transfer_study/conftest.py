"""A study's folder as its runs leave it, with invented figures."""

import json

import numpy as np
import pytest
from PIL import Image

CLASSES = ('low-rise', 'mid-rise', 'high-rise', 'skyscraper')
SCORES = ('iou', 'precision', 'recall', 'f1', 'object_precision', 'object_recall', 'object_f1')
METHODS = {
    'teacher': ('Teacher', ['source'], 100, 0),
    'student': ('Target only', ['target'], 100, 100),
    'student_long': ('Target only, as long', ['target'], 200, 200),
    'kd': ('KD', ['source', 'target'], 200, 100),
    'dml': ('DML', ['target'], 200, 100),
    'sda': ('SDA', ['source', 'target'], 200, 100),
}
TILES = 4
BUILDING_PX = 1000  # of each class in each tile


def counts_of(f1):
    """tp, fp and fn of a tile whose F1 is as given in percent: as many false ones as missed ones."""
    found = round(BUILDING_PX * f1 / 100)
    return [found, BUILDING_PX - found, BUILDING_PX - found]


class StudyFolder:
    """Writes study.json and runs; scores are F1 per class, the same for every kind of score unless stated."""

    def __init__(self, path):
        self.path = path

    def write_study(self, axes=(), replicates=3, **fields):
        points = [setting for axis in axes for _, setting in axis['points'] if setting != 'main']
        study = {
            'name': 'study_sample',
            'title': 'The sample study',
            'methods': [
                {'name': name, 'title': title, 'description': f'{name} described', 'learns_from': learns_from,
                 'total_steps': total, 'target_steps': target}
                for name, (title, learns_from, total, target) in METHODS.items()
            ],
            'settings': [{'name': name, 'off_nadir_deg': [10, 40]} for name in ('main', *points)],
            'axes': list(axes),
            'replicates': replicates,
            'parameters': {'gsd_m': 0.6, 'options': {'optimizer': {'lr': 0.001}}},
        } | fields  # fmt: skip
        study['runs'] = [
            {'name': f'main_{method["name"]}_r{replicate}', 'method': method['name'], 'setting': 'main',
             'replicate': replicate}
            for method in study['methods']
            for replicate in range(replicates)
        ]  # fmt: skip
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / 'study.json').write_text(json.dumps(study))

    def write_run(self, method, replicate, f1, setting='main', **fields):
        """Write a finished run; f1 is a number for all classes, or a dict, of which a class of None has no building."""
        name = f'{setting}_{method}_r{replicate}'
        f1 = f1 if isinstance(f1, dict) else dict.fromkeys(('overall', *CLASSES), f1)
        tile = {
            key: counts_of(value)
            for key, value in f1.items()
            if key != 'overall' and value is not None and value == value
        }
        result = {
            'run': {'name': name, 'method': method, 'setting': setting, 'replicate': replicate},
            'scores': {key: dict.fromkeys(SCORES, value) for key, value in f1.items()},
            'images': {f'test/images/{number}.tif': tile for number in range(TILES)},
            'counts': {
                'pixels': {
                    key: dict(zip(('tp', 'fp', 'fn'), np.array(tile.get(key, [0, 0, 0])).tolist(), strict=True))
                    for key in CLASSES
                }
            },
            'miou': 80.0,
            'train_minutes': 2.0,
            'parameters_m': 1.25,
            'f1_curve': [],
            'loss_curve': [],
        }
        folder = self.path / 'runs' / name
        folder.mkdir(parents=True)
        (folder / 'result.json').write_text(json.dumps(result | fields))
        return folder

    def write_scores(self, **f1_by_method):
        """Write runs of the main comparison, a score per replicate for each method."""
        for method, scores in f1_by_method.items():
            for replicate, f1 in enumerate(scores):
                self.write_run(method, replicate, f1)

    def write_trial(self, method, number, f1):
        """Write a finished trial, of one validation."""
        folder = self.path / 'runs' / f'tuning_{method}_t{number}'
        folder.mkdir(parents=True)
        about = {'name': folder.name, 'method': method, 'setting': 'tuning', 'replicate': 3, 'trial': number}
        (folder / 'result.json').write_text(json.dumps({'run': about, 'f1_curve': [{'iteration': 5, 'f1': f1}]}))

    def fail_run(self, name, error):
        folder = self.path / 'runs' / name
        folder.mkdir(parents=True)
        (folder / 'error.txt').write_text(error)

    def write_tile(self, name, label, image=None):
        """Write image and label of a panel's tile."""
        image = np.full((*label.shape, 3), 90, np.uint8) if image is None else image
        for kind, array in (('images', image), ('masks', label)):
            (self.path / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(self.path / kind / f'{name}.png')


@pytest.fixture
def study_folder(tmp_path):
    return StudyFolder(tmp_path / 'study')
