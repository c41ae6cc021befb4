"""Whole images through graphs of open and of fixed size."""

import json
from dataclasses import replace

import numpy as np
import pytest

from projects.deployment import predictor
from projects.deployment.model_info import INSTANCES, SEGMENTATION, ModelInfo
from projects.deployment.prediction.fitted_images import predict_each
from projects.deployment.predictor import Predictor, open_predictor

MEAN = (120.0, 120.0, 120.0)
DETECTOR = ModelInfo(INSTANCES, ('square',), ((0, 0, 0),), MEAN, (1.0, 1.0, 1.0), scale=(160, 96))
SEGMENTOR = replace(DETECTOR, task=SEGMENTATION, classes=('dark', 'bright'))


class Bright:
    """A network that finds the bright part of an image, as pixels or as one box."""

    def __init__(self, info):
        self.info, self.shapes = info, []

    def __call__(self, images):
        self.shapes.append(images.shape)
        bright = images[..., 0].astype(np.float32) / 255
        if self.info.is_segmentor:
            return {'probabilities': np.stack([1 - bright, bright], 1)}
        rows, columns = np.nonzero(bright[0] > 0.6)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        number = len(images)
        return {
            'boxes': np.array([box] * number, np.float32),
            'scores': np.full(number, 0.9, np.float32),
            'labels': np.zeros(number, int),
            'image_indices': np.arange(number),
            'masks': np.ones((number, 28, 28), np.float32),
        }


def picture():
    """Portrait, with a bright square."""
    image = np.zeros((120, 80, 3), np.uint8)
    image[30:60, 40:70] = 255
    return image


def through_pipeline(predictor, image):
    (done,) = predict_each(predictor, [0], lambda _: image, lambda done: done)
    return done.prediction


def in_one_call(predictor, image):
    return predictor.predict_image(image)


@pytest.mark.parametrize('predict', [in_one_call, through_pipeline])
@pytest.mark.parametrize(
    ('fixed', 'shape'),
    [
        ({}, (1, 144, 96, 3)),
        ({'input_size': (96, 160), 'batch_size': 2}, (2, 96, 160, 3)),
        ({'input_size': (240, 160), 'batch_size': 1}, (1, 240, 160, 3)),
        ({'scale': None, 'input_size': (192, 160), 'batch_size': 1}, (1, 192, 160, 3)),
        ({'keep_ratio': False, 'input_size': (96, 160), 'batch_size': 1}, (1, 96, 160, 3)),
    ],
    ids=['open', 'fixed', 'the same proportions', 'only padded', 'stretched'],
)
def test_results_are_at_their_place_in_the_image(predict, fixed, shape):
    info = replace(SEGMENTOR, **fixed)
    predictor = Predictor(Bright(info), info)
    labels = predict(predictor, picture()).labels
    assert predictor.session.shapes == [shape]
    assert labels.shape == (120, 80)
    expected = picture()[..., 0] > 0
    assert (labels != expected).sum() < 80, 'but for its edges'
    info = replace(DETECTOR, **fixed)
    found = predict(Predictor(Bright(info), info), picture())
    np.testing.assert_allclose(found.boxes, [[40, 30, 70, 60]], atol=1)


def test_descriptions_of_earlier_files_are_read():
    given = json.loads(DETECTOR.to_json())
    for name in ('made_for', 'gsd_m', 'dataset', 'weight_bits'):
        del given[name]
    assert ModelInfo.from_json(json.dumps(given | {'lean_consensus': False})) == DETECTOR
    with pytest.raises(ValueError, match='common lean in the graph, which this file does not have; export'):
        ModelInfo.from_json(json.dumps(given | {'lean_consensus': True}))


def test_a_file_whose_sums_would_saturate_is_told_of(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(predictor, 'say_once', told.append)
    for own, exact in ((8, 8), (7, 7), (8, 7)):
        monkeypatch.setattr(predictor, 'exact_weight_bits', lambda exact=exact: exact)
        info = replace(DETECTOR, precision='int8', weight_bits=own)
        monkeypatch.setattr(predictor, 'read_info', lambda path, info=info: info)
        monkeypatch.setattr(predictor, 'open_file_session', lambda *_, info=info: Bright(info))
        open_predictor(tmp_path / f'{own}_{exact}.onnx')
    (message,) = told
    assert '8_7.onnx has weights of 8 bits' in message
    assert '--weight-bits 7' in message
