import cv2
import numpy as np
import pytest

from projects.building_extraction.appearance_gap.features import describe


def picture(seed=0, noise=12.0):
    random = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(random.normal(0, 1, (128, 128, 1)).astype(np.float32), (0, 0), 6)[..., None]
    values = 120 + 25 * smooth / smooth.std() + random.normal(0, noise, (128, 128, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def test_a_uniform_colour_by_hand():
    features = describe(np.full((64, 64, 3), (0, 0, 255), np.uint8))  # CIELAB of sRGB's blue: 32.3, 79.2, -107.9
    assert features['lightness, 25%'] == pytest.approx(32.3, abs=0.1)
    assert features['red-green, 75%'] == pytest.approx(79.2, abs=0.2)
    assert features['yellow-blue, 98%'] == pytest.approx(-107.9, abs=0.2)
    assert features['lightness, deviation'] == pytest.approx(0, abs=1e-4)
    assert features['share of blue'] == 1
    assert features['share of green'] == features['share of shadow'] == 0


def test_power_is_found_at_the_wavelength_of_a_wave():
    x = np.arange(128)
    wave = np.broadcast_to(128 + 60 * np.sin(2 * np.pi * x / 6), (128, 128)).astype(np.uint8)
    features = describe(np.repeat(wave[..., None], 3, axis=2))
    powers = {name: value for name, value in features.items() if name.startswith('power')}
    assert max(powers, key=powers.get) == 'power at 4 to 8 px'
    assert features['edges alike in direction'] > 0.95


def test_noise_is_its_standard_deviation():
    grays = np.random.default_rng(1).normal(128, 6, (256, 256, 1)).repeat(3, axis=2)
    lightness_per_gray = 0.386  # slope of CIELAB's L at a grey of 128
    assert describe(grays.round().astype(np.uint8))['noise'] == pytest.approx(6 * lightness_per_gray, rel=0.06)


def test_compression_leaves_steps_at_its_blocks():
    plain = picture()
    _, encoded = cv2.imencode('.jpg', plain, [cv2.IMWRITE_JPEG_QUALITY, 15])
    pressed = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    assert abs(describe(plain)['steps of 8 px']) < 0.1
    assert describe(pressed)['steps of 8 px'] > 0.3


def test_a_small_picture_is_refused():
    with pytest.raises(ValueError, match='60 x 70 px; expected 64'):
        describe(np.zeros((70, 60, 3), np.uint8))
