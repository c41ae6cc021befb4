"""Too few images, or such as show nothing, are refused before anything is searched, by every quantiser alike."""

import numpy as np
import pytest

from projects.deployment.export.quantization import quantize_onnx
from projects.deployment.quantization.calibration import check_images
from projects.deployment.quantization.quantize import quantize
from projects.deployment.quantization.settings import QuantizationSettings

from .tiny import Tiny, pictures


def of_one_color(*color, padding=0):
    """(1, 24, 32, 3), with so many columns of padding, of another colour."""
    image = np.full((1, 24, 32, 3), color, np.uint8)
    image[:, :, 32 - padding :] = (124, 116, 104)
    return image


def test_ten_different_images_are_enough():
    check_images(pictures(10))
    check_images([np.concatenate(pictures(10))])


def test_too_few_are_refused_however_often_they_come():
    nine = pictures(9)
    for batches in (nine, [np.concatenate(nine)], [*nine, *nine], [np.concatenate([*nine, *[nine[-1]] * 7])]):
        with pytest.raises(ValueError, match=r'on 9 different images, and needs 10 at least .*name more with --calib'):
            check_images(batches)


def test_images_that_show_nothing_are_refused():
    blank = [of_one_color(0), of_one_color(255), of_one_color(0, 0, 255), of_one_color(7, padding=9)]
    check_images([*pictures(10), *blank])
    with pytest.raises(ValueError, match=r'^4 of 13 images .* one colour, and int8 needs 10 that are not: name others'):
        check_images([*pictures(9), *blank])


def test_every_quantiser_asks(tmp_path):
    with pytest.raises(ValueError, match='on 9 different images'):
        quantize(Tiny(), pictures(9), QuantizationSettings('minmax'))
    with pytest.raises(ValueError, match='on 9 different images'):
        quantize_onnx(tmp_path / 'absent.onnx', tmp_path / 'int8.onnx', pictures(9))
    assert not list(tmp_path.iterdir())
