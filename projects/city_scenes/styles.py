"""How the materials, the light and the camera of a region look."""

from dataclasses import dataclass, field

import numpy as np

from .camera import Camera

Colors = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Style:
    """Looks of a region; geometry and labels do not depend on it.

    Attributes:
        camera: Lens, sensor, air and file.
        flat_roofs: Colours of membrane, gravel and concrete.
        pitched_roofs: Colours of tiles and slates.
        pitched_share: So many of the small low houses have a pitched roof.
        sheet_roofs: Colours of corrugated sheet metal.
        sheet_share: So many of the other roofs are of it.
        busy: Least and most share of a flat roof's cells with equipment, such as tanks and stair heads.
        ground: Colours of the kinds of ground, in the order of `ground.Ground`.
        markings: Whether streets and car parks have painted lines.
        canopy_m: Crowns of trees cover roofs lower than that, in the image; labels show the roofs below.
        sky: Light from the sky alone, red, green and blue: the colour of shadows.
        sunlight: Light of the sun.
    """

    camera: Camera = field(default_factory=Camera)
    flat_roofs: Colors = (
        (176, 173, 167), (152, 149, 144), (128, 126, 123), (107, 106, 106), (88, 87, 88), (141, 134, 122),
        (160, 152, 138), (205, 205, 203), (222, 222, 220), (118, 112, 104), (148, 152, 156), (104, 110, 108),
        (132, 112, 98),
    )  # fmt: skip
    pitched_roofs: Colors = (
        (136, 98, 82), (124, 88, 75), (112, 104, 100), (92, 88, 88), (154, 152, 150), (176, 176, 174), (118, 98, 84),
        (144, 112, 94), (104, 112, 116),
    )  # fmt: skip
    pitched_share: float = 0.8
    sheet_roofs: Colors = ((150, 152, 154),)
    sheet_share: float = 0.0
    busy: tuple[float, float] = (0.15, 0.65)
    ground: Colors = (
        (92, 92, 96), (147, 144, 139), (139, 135, 128), (104, 103, 102), (86, 100, 62), (160, 152, 140), (98, 98, 100),
        (126, 121, 92),
    )  # fmt: skip
    markings: bool = True
    canopy_m: float = 0.0
    sky: tuple[float, float, float] = (0.46, 0.50, 0.57)
    sunlight: tuple[float, float, float] = (0.80, 0.76, 0.68)


DRONE = Camera(blur_px=0.35, noise=7, haze=0.02, jpeg_quality=95)

STYLES = {
    'plain': Style(),
    'drone': Style(camera=DRONE),
    'unpaved': Style(
        camera=DRONE,
        ground=(
            (132, 112, 92), (140, 126, 108), (134, 128, 118), (118, 108, 96), (88, 98, 62), (150, 132, 110),
            (128, 114, 98), (122, 114, 80),
        ),
        markings=False,
    ),
    'dense': Style(
        camera=DRONE,
        flat_roofs=(
            (158, 152, 144), (140, 136, 130), (124, 120, 114), (150, 140, 128), (112, 106, 100), (170, 164, 156),
            (134, 118, 104), (184, 178, 170), (146, 108, 92), (104, 98, 92),
        ),
        pitched_share=0.25,
        sheet_roofs=(
            (58, 112, 178), (72, 130, 188), (88, 140, 190), (138, 142, 146), (162, 164, 164), (124, 104, 88),
            (112, 84, 68), (152, 62, 56), (104, 108, 110),
        ),
        sheet_share=0.4,
        busy=(0.45, 0.95),
        ground=(
            (132, 112, 92), (140, 126, 108), (134, 128, 118), (118, 108, 96), (80, 94, 56), (150, 132, 110),
            (128, 114, 98), (122, 114, 80),
        ),
        markings=False,
        canopy_m=7.0,
        sky=(0.33, 0.36, 0.40),
        sunlight=(0.80, 0.78, 0.72),
    ),
}  # fmt: skip
"""By name: `plain` is a paved western city; `drone` the same seen by a small camera; `unpaved` with bare ground;
`dense` a quarter of concrete and sheet metal on bare ground, under a high haze, as in the valleys of the Himalaya."""


def style(name: str) -> Style:
    """A style by its name.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in STYLES:
        raise ValueError(f'style is {name!r}; expected one of {", ".join(STYLES)}')
    return STYLES[name]


def palette(colors: Colors) -> np.ndarray:
    """(3, N) float32."""
    return np.array(colors, dtype=np.float32).T
