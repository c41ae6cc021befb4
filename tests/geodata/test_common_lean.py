"""The direction that offsets have in common: by hand, against brute force, and where it does not exist."""

import numpy as np
import pytest

from projects.geodata.common_lean import NOISE, common_direction


def test_by_hand():
    # the sum of distances is 1 from x and 5 from y
    offsets = np.array([[2.0, 0], [2, 0], [-1, 0], [0, 1]])
    np.testing.assert_allclose(common_direction(offsets), [1, 0], atol=1e-12)
    # the heavier one decides the sign
    np.testing.assert_allclose(common_direction(offsets, np.array([1, 0, 9, 0])), [-1, 0], atol=1e-12)
    np.testing.assert_allclose(common_direction(np.array([[1.0, 1], [0, 1]]), np.array([1, 0])), [0.5**0.5] * 2)


@pytest.mark.parametrize('azimuth_deg', range(0, 360, 25))
def test_it_is_the_best_line(azimuth_deg):
    rng = np.random.default_rng(azimuth_deg)
    truth = np.array([np.cos(np.radians(azimuth_deg)), np.sin(np.radians(azimuth_deg))])
    offsets = rng.uniform(2, 30, 40)[:, None] * truth + rng.normal(size=(40, 2))
    weights = rng.uniform(0.3, 1, 40)
    angles = np.radians(np.arange(0, 360, 0.05))
    lines = np.stack([np.cos(angles), np.sin(angles)])
    away = np.abs(offsets[:, :1] * lines[1] - offsets[:, 1:] * lines[0])
    noise = NOISE * np.linalg.norm(offsets, axis=1).max()
    losses = np.where(away < noise, away**2 / (2 * noise), away - noise / 2)  # Huber's
    best = lines[:, (weights @ losses).argmin()]
    found = common_direction(offsets, weights)
    assert abs(found @ best) > 1 - 1e-6
    assert found @ truth > 0.999
    np.testing.assert_allclose(np.linalg.norm(found), 1)


def test_a_long_offset_that_points_elsewhere_does_not_turn_the_line():
    rng = np.random.default_rng(0)
    offsets = rng.uniform(3, 20, 30)[:, None] * np.array([0.6, 0.8]) + rng.normal(0, 0.3, (30, 2))
    turned = common_direction(np.vstack([offsets, [60, 0]]))
    assert np.degrees(np.arccos(turned @ [0.6, 0.8])) < 2  # 19 by squares alone


def test_unknown_ones_take_no_part():
    offsets = np.array([[np.nan, 5], [0, 7], [np.nan, np.nan]])
    np.testing.assert_allclose(common_direction(offsets), [0, 1], atol=1e-12)


@pytest.mark.parametrize('offsets', [np.zeros((0, 2)), np.zeros((3, 2)), np.full((2, 2), np.nan)])
def test_nothing_to_go_by(offsets):
    np.testing.assert_array_equal(common_direction(offsets), [1, 0])
