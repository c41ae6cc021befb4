"""A study's folder as its runs leave it, with invented figures."""

import json

import numpy as np
import pytest
from PIL import Image

CLASSES = ('overall', 'low-rise', 'mid-rise', 'high-rise', 'skyscraper')
SCORES = ('iou', 'precision', 'recall', 'f1', 'object_precision', 'object_recall', 'object_f1')
METHODS = ('teacher', 'student', 'kd', 'dml', 'sda')
TITLES = {'teacher': 'Teacher', 'student': 'Target only', 'kd': 'KD', 'dml': 'DML', 'sda': 'SDA'}
SOURCELESS = ('student', 'dml')


class StudyFolder:
    """Writes study.json and runs; scores are F1 per class, the same for every kind of score unless stated."""

    def __init__(self, path):
        self.path = path

    def write_study(self, angles_deg=(), seeds=(0, 1, 2), **fields):
        angles = [{'name': f'angle-{angle_deg:g}', 'off_nadir_deg': [angle_deg] * 2} for angle_deg in angles_deg]
        study = {
            'name': 'study_sample',
            'title': 'The sample study',
            'methods': [
                {'name': m, 'title': TITLES[m], 'description': f'{m} described', 'uses_source': m not in SOURCELESS}
                for m in METHODS
            ],
            'domains': [{'name': 'main', 'off_nadir_deg': [10, 40], 'registration_error_m': 1.5}, *angles],
            'angles_deg': angles_deg,
            'seeds': seeds,
            'parameters': {'gsd_m': 0.6, 'options': {'optimizer': {'lr': 0.001}}},
        } | fields
        study['runs'] = [
            {'name': f'{domain["name"]}-{method["name"]}-seed{seed}', 'method': method['name'],
             'domain': domain['name'], 'seed': seed}
            for domain in study['domains']
            for method in study['methods']
            if domain['name'] == 'main' or method['uses_source']
            for seed in seeds
        ]  # fmt: skip
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / 'study.json').write_text(json.dumps(study))

    def write_run(self, method, seed, f1, domain='main', **fields):
        """Write a finished run; f1 is a number for all classes or a dict."""
        name = f'{domain}-{method}-seed{seed}'
        f1 = f1 if isinstance(f1, dict) else dict.fromkeys(CLASSES, f1)
        result = {
            'run': {'name': name, 'method': method, 'domain': domain, 'seed': seed},
            'scores': {key: dict.fromkeys(SCORES, value) for key, value in f1.items()},
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
        """Write runs of the main domain, a score per seed for each method."""
        for method, scores in f1_by_method.items():
            for seed, f1 in enumerate(scores):
                self.write_run(method, seed, f1)

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
