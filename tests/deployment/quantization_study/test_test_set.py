"""Images and what is on them: in the pixels of the files, whatever size the graph has; no image in two sets."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from projects.deployment.model_info import ModelInfo
from projects.deployment.predictions import Detections, Segmentation
from projects.deployment.predictor import Predictor
from projects.deployment.quantization_study.test_set import (
    calibration_sets,
    fidelity_evidence,
    label_evidence,
    predict_all,
    read_test_images,
)
from projects.sample_data import use_sample
from projects.sample_data.samples import SAMPLES
from projects.training.config import load_config

ALL = np.ones((1, 3), int)


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    """A config on 12 training and 3 test images of 64x96, for a graph of 80x80."""
    root = tmp_path_factory.mktemp('data')
    with pytest.MonkeyPatch.context() as patch:
        kind = 'CheckedCocoDataset'
        small = replace(SAMPLES[kind], image_size=(64, 96), num_train_images=12, num_val_images=3)
        patch.setitem(SAMPLES, kind, small)
        cfg = load_config('configs/mobilenetv3_retinanet_coco.py', None, lambda cfg: use_sample(cfg, root))
    return cfg, replace(ModelInfo.from_config(cfg), input_size=(80, 80), batch_size=1)


def test_objects_are_those_of_the_annotation_file(detector):
    cfg, info = detector
    content = json.loads(Path(cfg.test_evaluator.ann_file).read_text())
    by_name = {image['file_name']: image['id'] for image in content['images']}
    crowds = 0
    for image in read_test_images(cfg, info, 3):
        given = [one for one in content['annotations'] if one['image_id'] == by_name[image.name]]
        assert image.pixels.shape == (80, 80, 3)
        assert (image.original, image.content) == ((64, 96), (53, 80))
        expected = np.array([[x, y, x + w, y + h] for x, y, w, h in (one['bbox'] for one in given)]).reshape(-1, 4)
        order, own = np.argsort(expected[:, 0]), np.argsort(image.truth.boxes[:, 0])
        np.testing.assert_allclose(image.truth.boxes[own], expected[order], atol=0.6)
        crowds += image.truth.is_crowd.sum()
        assert image.truth.is_crowd.sum() == sum(one['iscrowd'] for one in given)
    assert crowds > 0


def test_predictions_of_the_labels_score_everything(detector):
    """A session that gives the objects in the graph's pixels: its boxes come back to those of the file."""
    cfg, info = detector
    images = read_test_images(cfg, info, 3)
    waiting = iter(images)

    def session(_):
        truth = next(waiting).truth
        count = len(truth.labels)
        return {
            'boxes': (truth.boxes * 80 / 96).astype(np.float32),
            'scores': np.full(count, 0.9, np.float32),
            'labels': truth.labels,
            'image_indices': np.zeros(count, int),
        }

    found = predict_all(Predictor(session, info), images)
    assert label_evidence(found, images, info).score(ALL)[0] == pytest.approx(100, abs=1)
    assert fidelity_evidence(found, found, info).score(ALL)[0] == pytest.approx(100)


def test_a_network_that_finds_nothing_likely_is_refused(detector):
    _, info = detector
    weak = [Detections(np.array([[0, 0, 9, 9.0]]), np.array([0.2]), np.array([0]))] * 3
    with pytest.raises(ValueError, match=r'finds nothing with a score of 0.3: train it for longer'):
        fidelity_evidence(weak, weak, info)


def test_equal_pixels_are_counted_wherever_the_network_says_something(detector):
    info = replace(detector[1], task='semantic segmentation')
    one, other = Segmentation(np.array([[0, 255], [2, 2]])), Segmentation(np.array([[0, 255], [2, 1]]))
    assert fidelity_evidence([one], [other], info).score(np.ones((1, 1), int))[0] == 75


def test_calibration_sets_share_no_image(detector):
    cfg, info = detector
    sets = calibration_sets(cfg, info, 3, 4)
    names = [image.name for one in sets for image in one]
    assert [len(one) for one in sets] == [4, 4, 4]
    assert len(set(names)) == 12
    assert len({image.pixels.tobytes() for one in sets for image in one}) == 12
    with pytest.raises(ValueError, match=r'has 12 training images; 3 calibration sets of 5 need 15'):
        calibration_sets(cfg, info, 3, 5)
    with pytest.raises(ValueError, match='has 3 images; the study asks for 4'):
        read_test_images(cfg, info, 4)
