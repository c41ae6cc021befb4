"""Parts of a run, which share a folder and nothing else, and are killed at any moment."""

import json
import os
import random
import signal
import time

import numpy as np
import pytest
import rasterio
from PIL import Image

from projects.command_line import UsageError
from projects.deployment.model_info import INSTANCES, SEGMENTATION, ModelInfo
from projects.deployment.prediction import parts
from projects.deployment.prediction.image_files import find_inputs
from projects.deployment.prediction.part_run import predict_part
from projects.deployment.prediction.parts import Hands, Part, find_part, next_number
from projects.deployment.prediction.prediction_files import PredictionSettings, writable
from projects.deployment.prediction.rasters.settings import PolygonSettings, RasterSettings
from projects.deployment.prediction.run import predict_inputs
from projects.deployment.predictor import Predictor
from tests.processes import call_in_clean_processes, fork

IDENTITY = {'weights': 'abc'}
PLACE = {'crs': 'EPSG:32633', 'transform': rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 5e6)}
COLORS = ((0, 0, 0), (9, 0, 0), (0, 9, 0))
BUILDINGS = ModelInfo(SEGMENTATION, ('ground', 'building'), COLORS[:2], (0,) * 3, (1,) * 3, threshold=0.5)
CLASSES = ModelInfo(SEGMENTATION, ('a', 'b', 'c'), COLORS, (0,) * 3, (1,) * 3)
OBJECTS = ModelInfo(INSTANCES, ('building',), COLORS[:1], (0,) * 3, (1,) * 3)
LAYERS = {
    'buildings': (BUILDINGS, ('probability', 'labels')),
    'classes': (CLASSES, ('labels', 'confidence', 'probabilities')),
    'objects': (OBJECTS, ()),
}


class Model:
    """What depends on every pixel, and on where it lies in its window, so that seams are seen; as slow as is asked."""

    def __init__(self, info, seconds=0.0):
        self.info, self.seconds, self.images = info, seconds, 0

    def __call__(self, images):
        time.sleep(self.seconds)
        self.images += len(images)
        height, width = images.shape[1:3]
        values = images.mean(axis=3) / 510 + np.linspace(0, 0.5, height)[:, None] * np.linspace(0, 1, width)
        if self.info is OBJECTS:
            return self.detect(images)
        if self.info is CLASSES:
            logits = np.stack([values, images[..., 0] / 255, 1 - values], axis=1)
            return {'probabilities': (logits / logits.sum(axis=1, keepdims=True)).astype(np.float32)}
        return {'probabilities': values[:, None].astype(np.float32)}

    def detect(self, images):
        """Boxes where they follow from the pixels, of which windows see the same ones."""
        corners = images[:, 16:56:24, 16:56:24, 0].reshape(len(images), -1).astype(np.float32)
        left, top = corners % 40, corners[:, ::-1] % 40
        boxes = np.stack([left, top, left + 8 + corners % 12, top + 8 + corners % 9], axis=2).reshape(-1, 4)
        number = len(boxes)
        masks = np.tri(28, 28, 14, dtype=np.float32)
        return {
            'boxes': boxes,
            'labels': np.zeros(number, np.int64),
            'scores': (corners.ravel() / 255).astype(np.float32),
            'image_indices': np.repeat(np.arange(len(images)), corners.shape[1]),
            'masks': np.broadcast_to(masks, (number, 28, 28)).copy(),
        }


def settings_of(kind):
    info, layers = LAYERS[kind]
    rasters = RasterSettings(window_px=64, overlap_px=16, layers=layers)
    polygons = PolygonSettings(regularise=True)
    return PredictionSettings(writable(info), 0.3, 4, rasters=rasters, polygons=polygons)


def write_inputs(folder):
    random = np.random.default_rng(0)
    coarse = random.integers(1, 255, (3, 60, 20)).astype(np.uint8)
    bands = coarse.repeat(12, axis=1).repeat(11, axis=2)
    folder.mkdir()
    with rasterio.open(
        folder / 'city.tif', 'w', driver='GTiff', count=3, dtype='uint8', height=720, width=220, **PLACE
    ) as out:
        out.write(bands)
    for number in range(12):
        Image.fromarray(random.integers(0, 255, (64, 70, 3), dtype=np.uint8)).save(folder / f'{number:02}.png')


def run_part(folder, out, kind, index, count, seconds):
    model = Model(LAYERS[kind][0], seconds)
    predictor, files = Predictor(model, model.info), find_inputs([folder / 'in'])
    report = predict_part(predictor, files, out, settings_of(kind), Part(index, count), identity=IDENTITY)
    assert not report.failed, report.failed


def run_all(folder, out, kind, join):
    """One process alone, or the join of parts, that writes down which are missing."""
    model = Model(LAYERS[kind][0])
    predictor, files = Predictor(model, model.info), find_inputs([folder / 'in'])
    report = predict_inputs(predictor, files, out, settings_of(kind), identity=IDENTITY, join=join)
    assert not join or model.images == 0
    missing = [[part.index, part.count] for part in report.missing]
    if any('no part has begun: make them with --part 0/1' in reason for _, reason in report.failed):
        missing = [[0, 1]]  # killed before its first strip
    assert bool(report.failed) == bool(missing), report.failed
    assert all('--part' in reason for _, reason in report.failed)
    out.with_suffix('.json').write_text(json.dumps(missing))


def kill_and_join(folder, kind, seed):
    """Three parts are killed, and a fourth does all; four are killed, and those that are named do what is missing."""
    os.environ['OGR_CURRENT_DATE'] = '2000-01-01T00:00:00.000Z'  # stands in a GeoPackage
    parts.BEAT_S, parts.STALE_S = 0.1, 0.6
    choose = random.Random(seed)
    whole, taken_over, again = (folder / f'{name}_{kind}_{seed}' for name in ('whole', 'taken_over', 'again'))
    assert ended(fork(run_all, folder, whole, kind, False)) == 0
    for out, last in ((taken_over, 3), (again, None)):
        first = [index for index in range(4) if index != last]
        choose.shuffle(first)
        for process in [fork(run_part, folder, out, kind, index, 4, 0.02) for index in first]:
            time.sleep(choose.uniform(0.02, 0.3))
            os.kill(process, signal.SIGKILL)
            assert ended(process) in (0, signal.SIGKILL)
        if last is not None:
            assert ended(fork(run_part, folder, out, kind, last, 4, 0)) == 0
        missing = joined(folder, out, kind)
        assert last is None or not missing
        for index, count in missing:
            assert ended(fork(run_part, folder, out, kind, index, count, 0)) == 0
        assert not missing or joined(folder, out, kind) == []
        assert contents(out) == contents(whole)


def ended(process):
    return os.waitpid(process, 0)[1]


def joined(folder, out, kind):
    assert ended(fork(run_all, folder, out, kind, True)) == 0
    return json.loads(out.with_suffix('.json').read_text())


def contents(folder):
    """Of all results; what is hidden is gone but the journal."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob('*')) if path.is_file()}
    assert not [name for name in files if 'partial' in str(name)]
    return {str(name): path.read_bytes() for name, path in files.items() if name.parts[0] != '.journal'}


@pytest.mark.parametrize(('kind', 'seed'), [('buildings', 0), ('classes', 1), ('objects', 2)])
def test_parts_that_are_killed_give_the_files_of_one_process(tmp_path, kind, seed):
    write_inputs(tmp_path / 'in')
    call_in_clean_processes(kill_and_join, (tmp_path, kind, seed))  # not forked from here: GDAL may have threads
    names = contents(tmp_path / f'taken_over_{kind}_{seed}')
    assert ('polygons/city.gpkg' in names) == (kind != 'classes')
    assert len([name for name in names if name.startswith('overlays/')]) == 12


def test_shares_divide_everything():
    for total in (0, 1, 7, 8, 100):
        shares = [Part(index, 4).share(total) for index in range(4)]
        assert [number for share in shares for number in share] == list(range(total))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ('text', 'variables', 'expected'),
    [
        ('2/4', {'SLURM_ARRAY_TASK_ID': '1'}, Part(2, 4)),
        ('auto', {'SLURM_ARRAY_TASK_ID': '3', 'SLURM_ARRAY_TASK_MIN': '1', 'SLURM_ARRAY_TASK_COUNT': '8'}, Part(2, 8)),
        (
            'auto',
            {
                'SLURM_ARRAY_TASK_ID': '20',
                'SLURM_ARRAY_TASK_MIN': '10',
                'SLURM_ARRAY_TASK_STEP': '5',
                'SLURM_ARRAY_TASK_COUNT': '4',
            },
            Part(2, 4),
        ),
        ('auto', {'AWS_BATCH_JOB_ARRAY_INDEX': '0', 'AWS_BATCH_JOB_ARRAY_SIZE': '2'}, Part(0, 2)),
        ('auto', {'BATCH_TASK_INDEX': '1', 'BATCH_TASK_COUNT': '2'}, Part(1, 2)),
        ('auto/5', {'JOB_COMPLETION_INDEX': '4'}, Part(4, 5)),
    ],
)
def test_engines_say_which_part_it_is(text, variables, expected):
    assert find_part(text, variables) == expected


@pytest.mark.parametrize(
    ('text', 'variables', 'message'),
    [
        ('4/4', {}, 'part 4 of 4; expected 0 to 3'),
        ('0/0', {}, 'part 0 of 0'),
        ('3', {}, 'expected I/N, such as 0/4 to 3/4, or auto'),
        ('-1/4', {}, 'expected I/N'),
        ('auto', {}, 'none of BATCH_TASK_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX'),
        ('auto', {'JOB_COMPLETION_INDEX': '4'}, r'Kubernetes .* does not say how many .* --part auto/N'),
        ('auto/2', {'JOB_COMPLETION_INDEX': '4'}, 'part 4 of 2; expected 0 to 1'),
        (
            'auto',
            {'SLURM_ARRAY_TASK_ID': '9', 'SLURM_ARRAY_TASK_MIN': '1', 'SLURM_ARRAY_TASK_COUNT': '3'},
            'Slurm .*part 8 of 3',
        ),
        ('auto', {'SLURM_ARRAY_TASK_ID': '4', 'SLURM_ARRAY_TASK_STEP': '3'}, 'expected an array such as 0-7'),
        ('auto', {'BATCH_TASK_INDEX': 'x', 'BATCH_TASK_COUNT': '2'}, 'BATCH_TASK_INDEX=x: expected a whole number'),
    ],
)
def test_parts_that_are_none_are_refused(text, variables, message):
    with pytest.raises(UsageError, match=message):
        find_part(text, variables)


@pytest.mark.parametrize(
    ('free', 'held', 'last', 'expected'),
    [
        ({0, 1, 2, 10, 11}, set(), None, 0),  # its own share, from 0 to 3, first
        ({1, 2, 10, 11}, {0}, 0, 1),  # the next one, whoever has the last
        ({3, 4, 5}, set(), 2, 3),  # beyond its share as well
        ({10, 11, 12, 20}, set(), 3, 10),  # the largest gap, whose part is dead or has not begun
        ({11, 12, 13, 14, 20}, {10}, 3, 13),  # the second half, where another is before it
        ({11}, {10}, 3, 11),
        (set(), {10}, 3, None),
    ],
)
def test_a_part_goes_on_where_most_is_left(free, held, last, expected):
    assert next_number(free, held, range(4), last) == expected


def test_what_a_dead_process_had_in_hand_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, 'BEAT_S', 0.02)
    monkeypatch.setattr(parts, 'STALE_S', 60.0)
    folder, done = tmp_path / 'hands', set()
    with Hands(folder, Part(0, 2)) as mine:
        (folder / '1-dead.json').write_text(json.dumps({'part': [1, 2], 'hand': [4, 5]}))
        (folder / '1-torn.json').write_text('{"part": [1')
        taken = [number for number in mine.take(8, lambda: done) if not done.add(number)]
        assert taken == [0, 1, 2, 3, 7, 6]  # 6 to 7 is a gap behind one who may live: its second half first
        os.utime(folder / '1-dead.json', (0, time.time() - 100))
        assert mine.is_more(8, lambda: done)
        assert list(mine.take(8, lambda: done)) == [4, 5]
        done |= {4, 5}
        assert not mine.is_more(8, lambda: done)
    assert sorted(hand['hand'] for hand in parts.read_hands(folder).values()) == [[], [4, 5]]


def test_what_a_living_process_has_in_hand_is_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, 'BEAT_S', 0.02)
    folder = tmp_path / 'hands'
    with Hands(folder, Part(0, 2)) as mine, Hands(folder, Part(1, 2)) as other:
        assert next(other.take(8, set)) == 4
        assert list(mine.take(8, set)) == [0, 1, 2, 3, 6, 7, 5]
        begin = time.perf_counter()
        assert not mine.is_more(8, lambda: {0, 1, 2, 3, 5, 6, 7})  # it was heard of again
        assert time.perf_counter() - begin < 5
        assert list(other.take(8, lambda: {0, 1, 2, 3, 5, 6, 7})) == []
    (tmp_path / 'hands').rename(tmp_path / 'joined')
    assert not mine.is_more(8, set)


class Meddled(Model):
    """While it predicts for a part, somebody wants to resume alone."""

    def __init__(self, resume):
        super().__init__(BUILDINGS)
        self.resume, self.refusals = resume, []

    def __call__(self, images):
        with pytest.raises(ValueError, match='is at work there') as refusal:
            self.resume()
        self.refusals.append(str(refusal.value))
        return super().__call__(images)


@pytest.mark.parametrize('kept', ['*.tif', '00.png'])
def test_nobody_resumes_alone_where_parts_are_at_work(tmp_path, kept):
    write_inputs(tmp_path / 'in')
    files, out, settings = find_inputs([*tmp_path.glob(f'in/{kept}')]), tmp_path / 'out', settings_of('buildings')

    def resume():
        predictor = Predictor(Model(BUILDINGS), BUILDINGS)
        return predict_inputs(predictor, files, out, settings, identity=IDENTITY, resume=True)

    model = Meddled(resume)
    predict_part(Predictor(model, BUILDINGS), files, out, settings, Part(2, 5), identity=IDENTITY)
    assert model.refusals
    assert f'{out}: --part 2/5 is at work there; wait for its end' in model.refusals[0]
    killed = out / '.journal' / 'hands' / '1-killed.json'
    killed.write_text(json.dumps({'part': [1, 5], 'hand': [], 'has_ended': False}))
    with pytest.raises(ValueError, match='--part 1/5 is at work'):
        resume()
    os.utime(killed, (0, time.time() - 2 * parts.STALE_S))
    assert resume().num_predicted == (kept == '*.tif')  # made of the strips; the image was complete


def test_neighbors_are_taken_together_within_a_share(tmp_path):
    with Hands(tmp_path / 'hands', Part(0, 2)) as mine:
        steps = mine.take(8, set, at_once=3)
        assert next(steps) == 0
        assert [hand['hand'] for hand in parts.read_hands(tmp_path / 'hands').values()] == [[0, 1, 2]]
        assert list(steps) == [1, 2, 3, 4, 5, 6, 7]


def test_parts_with_other_settings_are_refused(tmp_path):
    write_inputs(tmp_path / 'in')
    model = Predictor(Model(BUILDINGS), BUILDINGS)
    files, settings = find_inputs([tmp_path / 'in' / 'city.tif']), settings_of('buildings')
    report = predict_part(model, files, tmp_path / 'out', settings, Part(0, 1), identity=IDENTITY)
    assert report.strips == {'city': 15}
    with pytest.raises(ValueError, match="weights: 'abc' before, 'xyz' now"):
        predict_part(model, files, tmp_path / 'out', settings, Part(0, 1), identity={'weights': 'xyz'})
    assert predict_part(model, files, tmp_path / 'out', settings, Part(0, 1), identity=IDENTITY).strips == {'city': 0}
    joined = predict_inputs(model, files, tmp_path / 'out', settings, identity=IDENTITY, join=True)
    assert (joined.failed, joined.missing, joined.num_files, joined.num_predicted) == ([], [], 1, 1)
    late = predict_part(model, files, tmp_path / 'out', settings, Part(0, 1), identity=IDENTITY)
    assert (late.strips, late.failed) == ({}, [])
    assert sorted(path.name for path in (tmp_path / 'out' / 'rasters').iterdir()) == [
        'city_labels.tif',
        'city_prediction.json',
        'city_probability.tif',
    ]


def test_a_join_without_parts_says_so(tmp_path):
    write_inputs(tmp_path / 'in')
    files = find_inputs([tmp_path / 'in'])
    model = Predictor(Model(BUILDINGS), BUILDINGS)
    report = predict_inputs(model, files, tmp_path / 'out', settings_of('buildings'), identity=IDENTITY, join=True)
    reasons = dict(report.failed)
    assert reasons[str(tmp_path / 'out')].startswith('images and videos 0 to 11 of 12 are missing (from 0); no part')
    assert reasons[str(tmp_path / 'in' / 'city.tif')].startswith('strips 0 to 14 of 15 are missing')
    assert (model.session.images, report.num_files, report.num_predicted) == (0, 13, 0)
