import itertools
import json
import os
import socket
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import shapely
from PIL import Image

from projects.deployment.model_info import INSTANCES, SEGMENTATION, ModelInfo
from projects.deployment.prediction.coco_results import InstanceMask
from projects.deployment.prediction.fitted_images import labels_at, predict_each
from projects.deployment.prediction.image_files import find_inputs
from projects.deployment.prediction.journal import InputJournal
from projects.deployment.prediction.prediction_files import PredictionSettings, instance_map, writable
from projects.deployment.prediction.processes import leave_processes
from projects.deployment.prediction.rasters import input_rasters
from projects.deployment.prediction.rasters.input_rasters import raster_folder
from projects.deployment.prediction.run import predict_inputs
from projects.deployment.predictions import Segmentation, resize_segmentation
from projects.deployment.predictor import Predictor
from tests.processes import call_in_clean_processes

COLORS = {'mean': (0.0,) * 3, 'std': (1.0,) * 3}
SEGMENTOR = ModelInfo(SEGMENTATION, ('dark', 'light'), ((0, 0, 200), (250, 200, 0)), **COLORS)
DETECTOR = ModelInfo(INSTANCES, ('tree', 'house'), ((0, 100, 0), (200, 0, 0)), **COLORS)


class Segments:
    """Light where the red channel is above 128."""

    def __init__(self):
        self.sizes = []

    def __call__(self, images):
        self.sizes.append(images.shape[:3])
        light = (images[..., 0] > 128).astype(np.float32)
        return {'probabilities': np.stack([1 - light, light], axis=1) * 0.8 + 0.1}


def detect(images):
    """Two instances per image, the second below 0.3; the box is as wide as the image's first pixel is red."""
    number = len(images)
    boxes = np.array([[[2, 4, 2 + image[0, 0, 0], 24], [0, 0, 5, 5]] for image in images], np.float32).reshape(-1, 4)
    return {
        'boxes': boxes,
        'scores': np.tile(np.array([0.9, 0.2], np.float32), number),
        'labels': np.tile([1, 0], number),
        'image_indices': np.repeat(np.arange(number), 2),
        'masks': np.ones((2 * number, 28, 28), np.float32),
    }


def write_images(folder, number, size=(48, 64)):
    for index in range(number):
        path = folder / f'{index % 2}' / f'{index}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*size, 3), 10 + index, dtype=np.uint8)
        pixels[:, : size[1] // 4] = 10 + index
        pixels[:, size[1] // 4 :, 0] = 200
        Image.fromarray(pixels).save(path)
    return folder


def run(session, info, inputs, out, resume=False, identity=None, **options):
    settings = PredictionSettings(options.pop('write', writable(info)), **options)
    files = find_inputs([inputs], out)
    options = {'identity': identity or {'weights': 'a'}, 'resume': resume}
    return predict_inputs(Predictor(session, info), files, out, settings, **options)


def results(folder):
    files = [path for path in folder.rglob('*') if path.is_file() and '.journal' not in path.parts]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_a_segmentor_leaves_pictures_label_maps_and_shares(tmp_path):
    report = run(Segments(), SEGMENTOR, write_images(tmp_path / 'in', 3), tmp_path / 'out')
    assert (report.num_files, report.failed) == (3, [])
    mask = Image.open(tmp_path / 'out' / 'masks' / '1' / '1.png')
    assert mask.mode == 'P'
    assert mask.convert('RGB').getpixel((5, 5)) == (0, 0, 200)
    labels = np.asarray(mask)
    assert (labels[:, :16] == 0).all()
    assert (labels[:, 16:] == 1).all()
    assert Image.open(tmp_path / 'out' / 'overlays' / '0' / '0.jpg').height == 480
    lines = (tmp_path / 'out' / 'class_shares.csv').read_text().splitlines()
    assert lines == [
        'image,width,height,dark,light',
        *[f'{name},64,48,0.25,0.75' for name in ('0/0.png', '0/2.png', '1/1.png')],
    ]


def test_a_detector_leaves_coco_and_instance_maps(tmp_path):
    run(detect, DETECTOR, write_images(tmp_path / 'in', 2), tmp_path / 'out')
    content = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert content['images'][1] == {'id': 2, 'file_name': '1/1.png', 'width': 64, 'height': 48}
    assert [one['image_id'] for one in content['annotations']] == [1, 2]  # those of 0.2 are left out
    assert content['annotations'][1]['bbox'] == [2, 4, 11, 20]
    numbers = np.asarray(Image.open(tmp_path / 'out' / 'masks' / '1' / '1.png'))
    assert numbers.dtype == np.uint16
    assert (numbers[4:24, 2:13] == 1).all()
    assert (numbers > 0).sum() == 220


def test_a_detector_leaves_tasks_for_annotators_where_they_are_asked_for(tmp_path):
    run(detect, DETECTOR, write_images(tmp_path / 'in', 2), tmp_path / 'out', write=('label-studio',))
    assert sorted(path.name for path in (tmp_path / 'out').iterdir() if path.is_file()) == [
        'label_studio.json',
        'label_studio.xml',
    ]
    first, second = json.loads((tmp_path / 'out' / 'label_studio.json').read_text())
    assert second['data']['image'] == '/data/local-files/?d=1/1.png'
    (region,) = second['predictions'][0]['result']
    assert (region['original_width'], region['original_height']) == (64, 48)
    points = np.array(region['value']['points']) * [0.64, 0.48]
    np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], [[2, 4], [13, 24]], atol=0.01)
    assert len(first['predictions'][0]['result']) == 1  # those of 0.2 are left out


def test_of_overlapping_instances_the_better_is_seen():
    masks = [InstanceMask(slice(0, 2), slice(0, 2), np.ones((2, 2), bool)) for _ in range(2)]
    masks.append(InstanceMask(slice(1, 3), slice(1, 3), np.ones((2, 2), bool)))
    assert instance_map(masks, (3, 3)).tolist() == [[1, 1, 0], [1, 1, 3], [0, 3, 3]]


def test_only_what_is_asked_for_is_written(tmp_path):
    run(detect, DETECTOR, write_images(tmp_path / 'in', 2), tmp_path / 'out', write=('coco',))
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['.journal', 'detections.json']


@pytest.mark.parametrize(('session', 'info'), [(Segments(), SEGMENTOR), (detect, DETECTOR)])
def test_results_do_not_depend_on_the_batch(tmp_path, session, info):
    write_images(tmp_path / 'in', 5)
    write_images(tmp_path / 'in' / 'other', 3, (40, 40))
    for batch_size in (1, 4):
        run(session, info, tmp_path / 'in', tmp_path / f'out{batch_size}', batch_size=batch_size)
    one, four = (results(tmp_path / f'out{n}') for n in (1, 4))
    assert one == four
    assert len(one) == 17


def test_images_of_equal_size_share_batches(tmp_path):
    write_images(tmp_path / 'in', 5)
    write_images(tmp_path / 'in' / 'other', 2, (40, 40))
    session = Segments()
    run(session, SEGMENTOR, tmp_path / 'in', tmp_path / 'out', batch_size=4)
    assert sorted(session.sizes) == [(1, 48, 64), (2, 40, 40), (4, 48, 64)]


def test_a_graph_of_a_fixed_batch_gets_it(tmp_path):
    session = Segments()
    info = ModelInfo(**{**vars(SEGMENTOR), 'batch_size': 2})
    run(session, info, write_images(tmp_path / 'in', 3), tmp_path / 'out')
    assert session.sizes == [(2, 48, 64)] * 2
    assert len(list((tmp_path / 'out' / 'masks').rglob('*.png'))) == 3


def test_bad_images_are_named_and_the_rest_is_done(tmp_path):
    write_images(tmp_path / 'in', 4)
    (tmp_path / 'in' / '0' / '2.png').write_bytes(b'no image')
    Image.new('RGB', (5, 50)).save(tmp_path / 'in' / 'tiny.png')
    report = run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'out')
    assert [path.rsplit('/', 1)[1] for path, _ in report.failed] == ['2.png', 'tiny.png']
    assert '32 px' in report.failed[1][1]
    content = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert [image['file_name'] for image in content['images']] == ['0/0.png', '1/1.png', '1/3.png']


def test_an_image_that_the_model_cannot_take_is_named_alone(tmp_path):
    def fail_on_third(images):
        if (images[:, 0, 0, 1] == 12).any():
            raise MemoryError('too much')
        return detect(images)

    report = run(fail_on_third, DETECTOR, write_images(tmp_path / 'in', 4), tmp_path / 'out', batch_size=4)
    assert [(path.rsplit('/', 1)[1], reason) for path, reason in report.failed] == [('2.png', 'MemoryError: too much')]
    assert len(json.loads((tmp_path / 'out' / 'detections.json').read_text())['images']) == 3


def test_a_model_that_always_fails_ends_the_run(tmp_path):
    def fail(images):
        raise KeyError('broken graph')

    with pytest.raises(ValueError, match=r'none of the images.*broken graph'):
        run(fail, DETECTOR, write_images(tmp_path / 'in', 2), tmp_path / 'out')


def test_a_run_goes_on_where_it_was_stopped(tmp_path):
    calls = []

    def count(images):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return detect(images)

    write_images(tmp_path / 'in', 6)
    run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'whole')
    with pytest.raises(KeyboardInterrupt):
        run(count, DETECTOR, tmp_path / 'in', tmp_path / 'out')
    journal = tmp_path / 'out' / '.journal' / '0.jsonl'
    with journal.open('a') as file:
        file.write('{"name": "1/5", "file_')  # killed while writing
    (tmp_path / 'out' / 'overlays' / '.x.1.partial.jpg').write_bytes(b'')
    done = len(journal.read_text().splitlines()) - 1
    calls[:] = [1] * 3
    report = run(count, DETECTOR, tmp_path / 'in', tmp_path / 'out', resume=True)
    assert report.num_complete == done == 2
    assert len(calls) == 3 + 4
    whole, out = (results(tmp_path / folder) for folder in ('whole', 'out'))
    assert out == whole


def test_what_was_removed_changed_or_failed_is_predicted_again(tmp_path):
    write_images(tmp_path / 'in', 4)
    (tmp_path / 'in' / '0' / '0.png').write_bytes(b'broken')
    assert len(run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'out').failed) == 1
    write_images(tmp_path / 'in', 2)  # 0 is mended, 1 is younger
    (tmp_path / 'out' / 'masks' / '0' / '2.png').unlink()
    report = run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'out', resume=True)
    assert (report.num_files, report.num_complete, report.failed) == (3, 1, [])
    assert len(json.loads((tmp_path / 'out' / 'detections.json').read_text())['images']) == 4


def test_the_last_word_on_an_image_counts_whoever_said_it(tmp_path):
    write_images(tmp_path / 'in', 2)
    run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'out')
    files = find_inputs([tmp_path / 'in'])
    InputJournal(tmp_path / 'out', 1).add(files[0], {'error': 'lost'})
    assert InputJournal(tmp_path / 'out').missing(files) == [files[0]]
    InputJournal(tmp_path / 'out', 0).add(files[0], {'files': []})
    assert InputJournal(tmp_path / 'out').missing(files) == []


def test_files_of_one_name_in_two_folders_are_two(tmp_path):
    for folder, red in (('a', 10), ('b', 30)):
        write_images(tmp_path / folder, 1)
        Image.fromarray(np.full((48, 64, 3), red, np.uint8)).save(tmp_path / folder / '0.png')
        os.utime(tmp_path / folder / '0.png', (1, 1))
    run(detect, DETECTOR, tmp_path / 'a' / '0.png', tmp_path / 'out')
    with pytest.raises(ValueError, match=r'out holds results of .*a/0\.png by the name 0, which .*b/0\.png has too'):
        run(detect, DETECTOR, tmp_path / 'b' / '0.png', tmp_path / 'out', resume=True)
    report = run(detect, DETECTOR, tmp_path / '[ab]' / '**', tmp_path / 'both')
    content = json.loads((tmp_path / 'both' / 'detections.json').read_text())
    widths = {
        image['file_name']: one['bbox'][2] for image, one in zip(content['images'], content['annotations'], strict=True)
    }
    assert widths == {'a/0.png': 10, 'a/0/0.png': 10, 'b/0.png': 30, 'b/0/0.png': 10}
    assert report.num_predicted == 4
    assert len(list((tmp_path / 'both' / 'masks').rglob('*.png'))) == 4


def test_results_are_neither_overwritten_nor_mixed(tmp_path):
    write_images(tmp_path / 'in', 1)
    run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'out')
    with pytest.raises(FileExistsError, match='--resume'):
        run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'out')
    with pytest.raises(ValueError, match="weights: 'a' before, 'b' now"):
        run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'out', resume=True, identity={'weights': 'b'})
    with pytest.raises(ValueError, match=r'score_threshold: 0.3 before, 0.5 now'):
        run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'out', resume=True, score_threshold=0.5)


@pytest.mark.parametrize('channels', [1, 3, 7])
def test_labels_are_those_of_the_resized_probabilities(channels):
    logits = np.random.default_rng(channels).normal(size=(channels, 20, 30)).astype(np.float32) * 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=0) if channels > 1 else 1 / (1 + np.exp(-logits))
    info = ModelInfo(SEGMENTATION, ('x',) * max(channels, 2), (), **COLORS, threshold=0.4 if channels == 1 else None)
    segmentation = Segmentation(np.zeros((20, 30), np.uint8), probabilities)
    expected = resize_segmentation(segmentation, (47, 55), info).labels
    np.testing.assert_array_equal(labels_at(segmentation, (47, 55), Predictor(None, info)), expected)


def test_few_images_are_held_at_once():
    held, most = set(), 0

    def read(number):
        nonlocal most
        held.add(number)
        most = max(most, len(held))
        return np.zeros((32, 32, 3), dtype=np.uint8)

    def finish(predicted):
        held.discard(predicted.item)
        return predicted.item

    predicted = predict_each(Predictor(Segments(), SEGMENTOR), range(200), read, finish, batch_size=2)
    assert list(predicted) == list(range(200))
    assert most < 20


def write_video(path, number=10, size=(48, 64)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, size[::-1])
    for index in range(number):
        writer.write(np.full((*size, 3), 20 * index % 256, dtype=np.uint8))
    writer.release()


def frames(path):
    capture = cv2.VideoCapture(str(path))
    return [picture for found, picture in itertools.takewhile(lambda read: read[0], iter(capture.read, None))]


@pytest.mark.parametrize('batch_size', [1, 3])
def test_a_video_becomes_a_video_with_facts_of_every_frame(tmp_path, batch_size):
    write_video(tmp_path / 'film.avi')
    report = run(Segments(), SEGMENTOR, tmp_path / 'film.avi', tmp_path / 'out', batch_size=batch_size)
    assert report.failed == []
    lines = [json.loads(line) for line in (tmp_path / 'out' / 'videos' / 'film.jsonl').read_text().splitlines()]
    assert [line['frame'] for line in lines] == list(range(10))
    assert [line['time_s'] for line in lines] == pytest.approx(np.arange(10) / 10)
    assert [line['shares'] for line in lines] == [[1, 0]] * 7 + [[0, 1]] * 3
    pictures = frames(tmp_path / 'out' / 'videos' / 'film.mp4')
    assert len(pictures) == 10
    light = [bool(picture[:400, :600, 0].mean() < picture[:400, :600, 2].mean()) for picture in pictures]
    assert light == [False] * 7 + [True] * 3
    masks = sorted((tmp_path / 'out' / 'masks' / 'film').iterdir())
    assert [path.name for path in masks] == [f'{index:06d}.png' for index in range(10)]


def test_a_video_that_ends_early_is_reported_and_kept(tmp_path):
    write_video(tmp_path / 'film.avi', 40)
    content = (tmp_path / 'film.avi').read_bytes()
    (tmp_path / 'film.avi').write_bytes(content[: len(content) // 2])
    write_video(tmp_path / 'whole.avi', 3)
    report = run(detect, DETECTOR, tmp_path, tmp_path / 'out')
    ((path, reason),) = report.failed
    assert path.endswith('film.avi')
    assert 'of 40 frames' in reason
    num_frames = len((tmp_path / 'out' / 'videos' / 'film.jsonl').read_text().splitlines())
    assert 5 < num_frames < 35
    assert len(frames(tmp_path / 'out' / 'videos' / 'film.mp4')) == num_frames


def test_a_file_that_is_no_video_is_reported(tmp_path):
    (tmp_path / 'film.mp4').write_bytes(b'nothing' * 100)
    report = run(detect, DETECTOR, tmp_path, tmp_path / 'out')
    assert 'no frame' in report.failed[0][1]
    assert list((tmp_path / 'out' / 'videos').iterdir()) == []


def test_rasters_are_handed_on_and_remembered(tmp_path, monkeypatch):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'city.vrt').write_bytes(b'x')
    (tmp_path / 'bad.vrt').write_bytes(b'x')
    given = []

    def predict_raster(_, path, folder, *settings, **options):
        given.append((path.stem, folder))
        if path.stem == 'bad':
            raise ValueError('no data')
        (folder / 'city_labels.tif').write_bytes(b'')
        files = {'labels': folder / 'city_labels.tif'}
        return SimpleNamespace(
            files=files, notes=['grey'], unreadable=[(0, 512, 512, 512)], num_windows=9, instances=None, polygons=None
        )

    monkeypatch.setattr(input_rasters, 'predict_raster', predict_raster)
    report = run(detect, DETECTOR, tmp_path, tmp_path / 'out')
    assert given == [('city', tmp_path / 'out' / 'rasters' / 'a'), ('bad', tmp_path / 'out' / 'rasters')]
    assert report.rasters == {'a/city': {'labels': tmp_path / 'out' / 'rasters' / 'a' / 'city_labels.tif'}}
    assert [reason for _, reason in report.failed][1] == 'no data'
    assert report.failed[0][1].startswith('1 of 9 windows')
    assert report.notes[0].endswith('city.vrt: grey')
    again = run(detect, DETECTOR, tmp_path, tmp_path / 'out', resume=True)
    assert len(given) == 3
    assert again.rasters == report.rasters


def test_objects_of_a_raster_are_written_in_its_pixels(tmp_path, monkeypatch):
    (tmp_path / 'city.vrt').write_bytes(b'x')
    ring = [(1, 2), (5, 2), (5, 4), (1, 4)]
    objects = SimpleNamespace(
        boxes=np.array([[1.0, 2.0, 5.0, 4.0]]),
        scores=np.array([0.5]),
        labels=np.array([1]),
        polygons=np.array([shapely.Polygon(ring)], dtype=object),
        offsets=np.array([[2.5, -3.0]]),
        heights_m=np.array([12.0]),
    )
    result = SimpleNamespace(files={}, notes=[], unreadable=[], num_windows=1, instances=objects, polygons=None)
    monkeypatch.setattr(input_rasters, 'predict_raster', lambda *_, **__: result)
    run(detect, DETECTOR, tmp_path, tmp_path / 'out')
    content = json.loads((tmp_path / 'out' / 'rasters' / 'city_instances.json').read_text())
    (annotation,) = content['annotations']
    assert annotation['bbox'] == [1, 2, 4, 2]
    assert annotation['area'] == 8
    assert annotation['category_id'] == 2
    assert (annotation['offset'], annotation['building_height']) == ([2.5, -3], 12)
    assert {tuple(point) for point in np.reshape(annotation['segmentation'][0], (-1, 2))} == set(ring)


def test_rasters_of_equal_names_have_folders_of_their_own(tmp_path):
    (tmp_path / 'x.vrt').write_bytes(b'x')
    (tmp_path / 'x.jp2').write_bytes(b'x')
    folders = [raster_folder(file, tmp_path / 'out') for file in find_inputs([tmp_path])]
    assert folders == [tmp_path / 'out' / 'rasters' / 'x.jp2', tmp_path / 'out' / 'rasters' / 'x.vrt']


def take_share(rank, port, folder):
    os.environ |= {'RANK': str(rank), 'WORLD_SIZE': '2', 'MASTER_ADDR': 'localhost', 'MASTER_PORT': str(port)}
    report = run(detect, DETECTOR, folder / 'in', folder / 'two')
    leave_processes()
    sys.exit(0 if (report is not None) == (rank == 0) else 3)


def test_processes_share_the_images_and_one_merges(tmp_path):
    write_images(tmp_path / 'in', 5)
    run(detect, DETECTOR, tmp_path / 'in', tmp_path / 'one')
    with socket.socket() as server:
        server.bind(('localhost', 0))
        port = server.getsockname()[1]
    call_in_clean_processes(take_share, *((rank, port, tmp_path) for rank in range(2)))
    one, two = (results(tmp_path / folder) for folder in ('one', 'two'))
    assert one == two
    files = find_inputs([tmp_path / 'in'])
    assert [len(path.read_text().splitlines()) for path in sorted((tmp_path / 'two/.journal').glob('*.jsonl'))] == [
        3,
        2,
    ]
    assert InputJournal(tmp_path / 'two').missing(files) == []
