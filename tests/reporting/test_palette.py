import numpy as np
import pytest

from projects.reporting.palette import BLACK, GRAY, ORANGE, SERIES, WHITE, bright, distinct_colors, readable_on, rgb


def test_no_color_repeats_whatever_the_number():
    colors = distinct_colors(40)
    assert colors[:7] == list(SERIES)
    assert distinct_colors(9) == colors[:9]
    values = np.array([rgb(color) for color in colors])
    apart = np.linalg.norm(values[:, None] - values[None], axis=2)[np.triu_indices(40, 1)]
    assert apart.min() > 25


def test_a_color_is_three_numbers():
    assert rgb('#0072B2') == (0, 114, 178)


def test_on_images_colors_are_as_bright_as_can_be():
    assert bright(ORANGE) == (255, 176, 0)  # 230, 159, 0 by 255 / 230
    assert bright(GRAY) == (255, 255, 255)


@pytest.mark.parametrize(
    ('color', 'text'),
    [
        (WHITE, BLACK),
        (BLACK, WHITE),
        ('#FFFF00', BLACK),  # luma 226
        ('#0000FF', WHITE),  # luma 29
        ((141, 141, 141), BLACK),
        ((140, 140, 140), WHITE),
    ],
)
def test_texts_are_legible(color, text):
    assert readable_on(color) == text
