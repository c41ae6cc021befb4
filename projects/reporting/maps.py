"""A map that one can look around on: pictures and polygons of rasters, in a page that needs nothing else.

Leaflet shows it, in the raster's own pixels (`L.CRS.Simple`), so that nothing is warped. Its files come with the wheel
`django-js-lib-leaflet`, which holds them as they were published.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from projects.storage.atomic_files import write_file

from .map_shapes import Key, Shapes
from .number_format import three_digits
from .pages import TEMPLATES, render_page, render_part
from .palette import rgb
from .tile_pyramids import build_pyramid

LIMIT_MB = 10.0  # of a page, by default
SHAPES_SHARE = 0.3  # of that, at most
MAX_PICTURE_PX = 20_000_000  # of a picture that is cut into tiles
LEAFLET = 'js_lib_leaflet'
SHARE_STEPS = 16  # in which shares are told apart


@dataclass(frozen=True)
class Place:
    """Where a raster lies.

    Attributes:
        crs: Name of its coordinate system; '' if it is not known.
        transform: From (column, row) to (x, y), six numbers a, b, c, d, e, f.
        degrees: (R, C, 2) Longitudes and latitudes at places that divide the raster's rows and columns evenly, from its
            first corner to its last; None: not known.
        is_geographic: Whether x and y are longitude and latitude themselves.
        meters_per_px: On the ground, in the middle of the raster; None: not known.
    """

    crs: str
    transform: tuple[float, ...]
    degrees: np.ndarray | None = None
    is_geographic: bool = False
    meters_per_px: float | None = None


@dataclass(frozen=True)
class Picture:
    """A layer of pixels.

    Attributes:
        name: What it shows.
        rgba: (H, W, 4) uint8, whose first pixel is in the raster's corner.
        level: Each pixel stands for 2**level x 2**level of the raster's.
        keys: Its legend.
    """

    name: str
    rgba: np.ndarray
    level: int = 0
    keys: Sequence[Key] = ()

    @classmethod
    def of_shares(cls, name: str, shares: np.ndarray, valid: np.ndarray, color: str, level: int = 0) -> 'Picture':
        """Numbers from 0 to 1, (H, W), as opacity of a colour; what has no data is transparent."""
        steps = np.nan_to_num(shares)
        np.clip(steps, 0, 1, out=steps)
        steps *= SHARE_STEPS
        np.rint(steps, out=steps)
        steps *= 255 / SHARE_STEPS
        rgba = np.empty((*shares.shape, 4), dtype=np.uint8)
        rgba[..., :3] = rgb(color)
        rgba[..., 3] = steps
        rgba[..., 3][~valid] = 0
        keys = [Key(f'{share:.0%}', f'{color}{round(255 * share):02X}') for share in (0.25, 0.5, 0.75, 1.0)]
        return cls(name, rgba, level, keys)

    @classmethod
    def of_labels(
        cls, name: str, labels: np.ndarray, valid: np.ndarray, classes: Mapping[str, str | None], level: int = 0
    ) -> 'Picture':
        """Classes (H, W) in their colours, None: transparent; the legend has those that occur, by falling share."""
        table = np.zeros((len(classes) + 1, 4), dtype=np.uint8)  # the last one: no data
        for number, color in enumerate(classes.values()):
            if color is not None:
                table[number] = (*rgb(color), 255)
        places = np.where(valid & (labels < len(classes)), labels, len(classes))
        counts = np.bincount(places.ravel(), minlength=len(table))[: len(classes)]
        named = (
            [
                Key(label, color or 'transparent', f'{count / counts.sum():.1%}')
                for (label, color), count in zip(classes.items(), counts.tolist(), strict=True)
            ]
            if counts.any()
            else []
        )
        order = [number for number in np.argsort(-counts, kind='stable').tolist() if counts[number]]
        return cls(name, table[places], level, [named[number] for number in order])


@dataclass(frozen=True)
class MapView:
    """One raster on a map.

    Attributes:
        title: Its name.
        size_px: Width and height.
        pictures: From the bottom up; the first is what all others lie on.
        shapes: Above the pictures.
        place: Where it lies; None: not known.
        notes: What must be said of it.
    """

    title: str
    size_px: tuple[int, int]
    pictures: Sequence[Picture]
    shapes: Sequence[Shapes] = ()
    place: Place | None = None
    notes: Sequence[str] = field(default_factory=list)

    def to_json(self, max_bytes: float) -> dict[str, Any]:
        """What a page holds of it, at most about so many bytes."""
        level = min(picture.level for picture in self.pictures)
        share = SHAPES_SHARE * max_bytes / max(len(self.shapes), 1)
        shapes = [layer.to_json(self.size_px, level, share) for layer in self.shapes]
        left = max_bytes - sum(_size(layer) for layer in shapes)
        pictures: list[dict[str, Any]] = []
        for number in reversed(range(len(self.pictures))):  # what the upper ones leave is for the image
            picture = self.pictures[number]
            pyramid = build_pyramid(picture.rgba, picture.level, left / (number + 1))
            left -= pyramid.size_bytes
            pictures.insert(0, {'name': picture.name, 'keys': [vars(key) for key in picture.keys], **vars(pyramid)})
        notes = [*self.notes, *_resolutions(pictures, self.place), *_left_out(shapes)]
        place = None if self.place is None else _place_json(self.place)
        found = {'title': self.title, 'size': self.size_px, 'pictures': pictures, 'shapes': shapes}
        return found | {'place': place, 'notes': notes}


def level_for(size_px: tuple[int, int]) -> int:
    """The lowest level at which a raster is not too large to be a picture."""
    level = 0
    while -(-size_px[0] // 2**level) * -(-size_px[1] // 2**level) > MAX_PICTURE_PX:
        level += 1
    return level


def map_figure(views: Sequence[MapView], limit_mb: float = LIMIT_MB) -> Markup:
    """A map with a choice of views, for a page that `map_assets` are part of; `slippy_map` in templates.

    Args:
        views: At least one.
        limit_mb: Of all of them together.
    """
    left, encoded = limit_mb * 1e6, []
    for number, view in enumerate(views):
        encoded.append(view.to_json(left / (len(views) - number)))
        left -= sum(_size(layer) for layer in (*encoded[-1]['pictures'], *encoded[-1]['shapes']))
    return render_part('map.html', views=encoded)


@cache
def map_assets() -> dict[str, Any]:
    """Styles and scripts of maps, their licence, and what a page's security policy calls the scripts."""
    static = files(LEAFLET).joinpath('static', LEAFLET)
    leaflet = distribution('django-js-lib-leaflet')
    licence = next(file for file in leaflet.files or () if file.name == 'LICENSE')
    scripts = [static.joinpath('leaflet.js').read_text('utf-8'), (TEMPLATES / 'map.js').read_text('utf-8')]
    styles = [static.joinpath('leaflet.css').read_text('utf-8'), (TEMPLATES / 'map.css').read_text('utf-8')]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    return {
        'styles': [Markup(style) for style in styles],  # noqa: S704 files of ours, and of a wheel whose hash is known
        'scripts': [Markup(script) for script in scripts],  # noqa: S704 the same
        'policy': ' '.join(f"'sha256-{one}'" for one in hashes),
        'licence': licence.read_text('utf-8').replace('--', '- -'),
    }


def write_map_page(
    path: Path, title: str, views: Sequence[MapView], facts: Mapping[str, str], limit_mb: float = LIMIT_MB
) -> None:
    """Write a page that is a map; it appears complete or not at all.

    Args:
        path: `.html` in an existing folder.
        title: Of the page.
        views: What is on the map, at least one.
        facts: What else must be known, such as model and command, by its name; the date is added.
        limit_mb: About how large the page may become.
    """
    facts = {**facts, 'date': f'{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}'}
    page = render_page(
        TEMPLATES / 'map_page.html', title, views=views, facts=facts, limit_mb=limit_mb - 0.2
    )  # 0.2: Leaflet itself
    write_file(path, page)


def _size(layer: dict[str, Any]) -> int:
    """About how many bytes a layer takes in a page."""
    if 'tiles' in layer:
        return sum(map(len, layer['tiles'].values()))
    texts = sum(len(str(value)) + 4 for row in layer['rows'] for value in row)
    return texts + 7 * sum(len(ring) for rings in layer['outlines'] for ring in rings)


def _place_json(place: Place) -> dict[str, Any]:
    degrees = None if place.degrees is None else np.round(place.degrees, 7).tolist()
    return vars(place) | {'degrees': degrees}


def _resolutions(pictures: Sequence[dict[str, Any]], place: Place | None) -> list[str]:
    """At which resolution each picture is shown, where that is not its own."""
    found = []
    for picture in pictures:
        if factor := 2 ** picture['finest'] - 1:
            scale = None if place is None else place.meters_per_px
            ground = '' if scale is None else f', {three_digits(scale * (factor + 1))} m'
            found.append(f'{picture["name"]}: shown at 1/{factor + 1} of its resolution{ground} per pixel')
    return found


def _left_out(shapes: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f'{layer["name"]}: {layer["left_out"]:,} of {layer["left_out"] + len(layer["rows"]):,} are not drawn; '
        'of each part of the raster, those of the highest confidence are'
        for layer in shapes
        if layer['left_out']
    ]
