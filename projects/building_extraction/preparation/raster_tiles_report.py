"""What the conversion of an image did: in words, and as a sheet of pictures to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from projects.geodata.vector_files import geopandas
from projects.reporting.figures import add_legend, hide_axes, new_figure, write_figure
from projects.reporting.palette import LABELS, PARTS

PART_COLORS = {'train': PARTS['train'], 'val': PARTS['val'], 'test': PARTS['test'], 'dropped': PARTS['left out']}
CLEAN_COLOR, DISPLACED_COLOR = LABELS
TILES_PER_PART = 6
MAX_LISTED = 20


@dataclass
class RasterTilesReport:
    """What was read, written and left out.

    Attributes:
        gsd_m: Ground sample distance at the image's centre.
        buildings: Polygons on the image.
        notes: What was decided on reading the image.
        found: Tiles of the grid.
        empty: Tiles of which almost no pixel has data.
        bad: Unreadable tiles, with the reason.
        block_m: Side of the blocks of ground that were split.
        parts: Contents of each part, those dropped between parts included.
    """

    gsd_m: float
    buildings: int
    notes: list[str]
    found: int = 0
    empty: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    block_m: float = 0.0
    parts: dict[str, dict[str, float]] = field(default_factory=dict)

    def count(self, part: str, tiles: Sequence[Any]) -> None:
        """Add up the tiles of one part; buildings of which another part sees more count there alone.

        Args:
            part: Its name.
            tiles: `RasterTile`s.
        """
        annotations = [a for tile in tiles for a in tile.annotations if a['instance'] not in tile.ignored]
        ignored = [a for tile in tiles for a in tile.annotations if a['instance'] in tile.ignored]
        self.parts[part] = {
            'tiles': len(tiles),
            'instances': len(annotations),
            'buildings': len({a['building'] for a in annotations}),
            'ignored': len({a['building'] for a in ignored}),
            'unknown_heights': len({a['building'] for a in annotations if a['building_height'] is None}),
            'building_share': sum(a['area'] for a in annotations) / max(sum(tile.valid_px for tile in tiles), 1),
        }

    def __str__(self) -> str:
        lines = [
            f'image      {"; ".join(self.notes)}; {self.gsd_m:.4g} m per pixel',
            f'labels     {self.buildings} polygons on the image',
            f'tiles      {self.found} in the grid; left out: {self.empty} (almost) without data, '
            f'{len(self.bad)} unreadable',
            f'split      by blocks of {self.block_m:.4g} m',
        ]
        for part, counts in self.parts.items():
            lines.append(
                f'{part:<10} {counts["tiles"]} tiles, {counts["buildings"]} buildings '
                f'({counts["unknown_heights"]} of unknown height), {counts["building_share"]:.1%} building'
                + (f'; {counts["ignored"]} more ignored, of which another part sees more' if counts['ignored'] else '')
                + (' (within the margin between the parts, left out)' if part == 'dropped' else '')
            )
        lines += [f'unreadable {name}: {reason}' for name, reason in list(self.bad.items())[:MAX_LISTED]]
        if len(self.bad) > MAX_LISTED:
            lines.append(f'unreadable {len(self.bad) - MAX_LISTED} more, listed in parameters.json')
        return '\n'.join(lines)


def write_contact_sheet(
    folder: Path,
    transforms: dict[str, Sequence[float]],
    tile_px: int,
    part_of: dict[str, str],
    clean: geopandas.GeoDataFrame,
    labels: geopandas.GeoDataFrame,
) -> None:
    """Write `overview.png`: a map of the parts, and some tiles of each with the outlines of their labels.

    Args:
        folder: The set; images lie in PART/images/TILE.png.
        transforms: From (column, row) to (x, y) for each tile.
        tile_px: Side of a tile.
        part_of: The part of each tile.
        clean: Labels as they were.
        labels: Labels as they were drawn.
    """
    parts = [part for part in PART_COLORS if part != 'dropped' and part in part_of.values()]
    figure = new_figure(4 + 2.4 * TILES_PER_PART, 2.6 * len(parts) + 0.6)
    axes = figure.subplot_mosaic(
        [['map', *(f'{part}{i}' for i in range(TILES_PER_PART))] for part in parts],
        width_ratios=[1.6] + [1] * TILES_PER_PART,
    )
    _draw_map(axes['map'], transforms, tile_px, part_of, labels)
    sources = {CLEAN_COLOR: clean} | ({DISPLACED_COLOR: labels} if labels is not clean else {})
    trees = {colour: (frame.geometry.to_numpy(), frame.sindex) for colour, frame in sources.items()}
    for part in parts:
        names = sorted(name for name in part_of if part_of[name] == part)
        chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, TILES_PER_PART).astype(int))]
        for i in range(TILES_PER_PART):
            tile_axes = axes[f'{part}{i}']
            hide_axes(tile_axes)
            if i < len(chosen):
                path = folder / part / 'images' / f'{chosen[i]}.png'
                _draw_tile(tile_axes, path, transforms[chosen[i]], trees)
                tile_axes.set_title(f'{part}  {chosen[i][-9:]}', fontsize=8, color=PART_COLORS[part])
    legend: list[Any] = [
        Patch(color=colour, label=f'{part}: {list(part_of.values()).count(part)} tiles')
        for part, colour in PART_COLORS.items()
    ]
    legend.append(Line2D([], [], color=CLEAN_COLOR, label='labels'))
    if labels is not clean:
        legend.append(Line2D([], [], color=DISPLACED_COLOR, label='displaced labels (drawn into the masks)'))
    add_legend(figure, legend, 'lower center')
    write_figure(figure, folder / 'overview.png')


def _draw_map(
    axes: Axes,
    transforms: dict[str, Sequence[float]],
    tile_px: int,
    part_of: dict[str, str],
    labels: geopandas.GeoDataFrame,
) -> None:
    for part, colour in PART_COLORS.items():
        corners = [transforms[name] for name in part_of if part_of[name] == part]
        boxes = [
            [(c, f), (c + a * tile_px, f), (c + a * tile_px, f + e * tile_px), (c, f + e * tile_px)]
            for a, _, c, _, e, f in corners
        ]
        axes.add_collection(PolyCollection(boxes, facecolor=colour, edgecolor='white', linewidth=0.3))
    centres = shapely.get_coordinates(shapely.centroid(labels.geometry.to_numpy()))
    axes.scatter(centres[:, 0], centres[:, 1], s=0.5, color='black', linewidths=0)
    axes.autoscale_view()
    axes.set_aspect('equal')
    hide_axes(axes)


def _draw_tile(axes: Axes, path: Path, transform: Sequence[float], trees: dict[str, tuple[np.ndarray, Any]]) -> None:
    image = Image.open(path)
    a, _, c, _, e, f = transform
    axes.imshow(image.resize((256, 256)), extent=(0, image.width, image.height, 0))
    box = shapely.box(c, f + e * image.height, c + a * image.width, f)
    for colour, (polygons, tree) in trees.items():
        rings = shapely.get_rings(polygons[tree.query(box, predicate='intersects')])
        lines = [(shapely.get_coordinates(ring) - (c, f)) / (a, e) for ring in rings]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.7))
    axes.set(xlim=(0, image.width), ylim=(image.height, 0))
