"""Colours that people with any colour vision tell apart, and what they stand for.

Those with names are Okabe and Ito's, Color Universal Design (https://jfly.uni-koeln.de/color/).
"""

import numpy as np

BLUE, ORANGE, GREEN, VERMILLION = '#0072B2', '#E69F00', '#009E73', '#D55E00'
PURPLE, SKY, YELLOW = '#CC79A7', '#56B4E9', '#F0E442'
BLACK, GRAY, WHITE = '#000000', '#999999', '#FFFFFF'
SERIES = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK)  # without yellow, too faint for lines
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', '*', 'h')
LABELS = ('#00E5FF', '#FFD500')  # outlines on images: as they are, and displaced; clear on any ground
HEIGHTS = (BLUE, GREEN, ORANGE, PURPLE)  # classes of height, lowest first
SCORES = ((0.0, VERMILLION), (0.5, ORANGE), (0.7, SKY), (0.9, BLUE))  # from which score on: doubtful to sure
PARTS = {'train': BLUE, 'val': VERMILLION, 'test': GREEN, 'left out': GRAY}  # of a data set


def distinct_colors(number: int) -> list[str]:
    """Return that many colours, none twice: those of `SERIES`, then always the one least like all before it.

    Likeness is the distance in CIELAB (CIE 15, with D65), of colours neither too faint nor too dark to tell on white.
    """
    candidates = np.stack(np.meshgrid(*[np.linspace(0, 1, 11)] * 3), axis=-1).reshape(-1, 3)
    places = _cielab(candidates)
    is_clear = (places[:, 0] > 15) & (places[:, 0] < 75)
    candidates, places = candidates[is_clear], places[is_clear]
    distances = np.full(len(places), np.inf)
    for color in _cielab(np.array([rgb(color) for color in SERIES]) / 255):
        distances = np.minimum(distances, np.linalg.norm(places - color, axis=1))
    colors = list(SERIES[:number])
    while len(colors) < number:
        farthest = int(distances.argmax())
        colors.append('#{:02X}{:02X}{:02X}'.format(*np.rint(candidates[farthest] * 255).astype(int)))
        distances = np.minimum(distances, np.linalg.norm(places - places[farthest], axis=1))
    return colors


def rgb(color: str) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255 of a colour such as '#0072B2'."""
    red, green, blue = bytes.fromhex(color.removeprefix('#'))
    return red, green, blue


def bright(color: str) -> tuple[int, int, int]:
    """The same hue as bright as can be, for lines on images: red, green and blue from 0 to 255."""
    brightest = max(rgb(color))
    red, green, blue = (round(part * 255 / brightest) for part in rgb(color))
    return red, green, blue


def readable_on(color: str | tuple[int, int, int]) -> str:
    """Black or white, whichever is legible on a colour, by the luma of ITU-R BT.601."""
    red, green, blue = rgb(color) if isinstance(color, str) else color
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else WHITE


def _cielab(colors: np.ndarray) -> np.ndarray:
    """Turn sRGB from 0 to 1, shape (N, 3), into L*, a*, b*."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratios = linear @ to_xyz.T / (0.9505, 1.0, 1.089)
    x, y, z = np.where(ratios > 216 / 24389, np.cbrt(ratios), (24389 / 27 * ratios + 16) / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
