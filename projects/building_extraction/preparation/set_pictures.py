"""Pictures of a tile set to look at: a map of its parts, and tiles with the outlines of their labels."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch
from PIL import Image

from projects.reporting.figures import add_legend, hide_axes, new_figure, write_figure
from projects.reporting.palette import LABELS, PARTS

from .web_mercator import Tile, to_lon_lat_deg

if TYPE_CHECKING:  # map tiles are prepared without geopandas
    from projects.geodata.vector_files import geopandas

MAP_SIDE_PX = 1600
TILES_PER_PART = 6


class OverviewMap:
    """A map of all tiles in at most `MAP_SIDE_PX` pixels, filled tile by tile.

    Args:
        tiles: The tiles that there are, sorted by zoom, so that finer ones come to lie on top.
    """

    def __init__(self, tiles: Iterable[Tile]) -> None:
        self.boxes = {tile: tile.bounds() for tile in tiles}
        bounds = np.array(list(self.boxes.values()))
        self.west, self.north = bounds[:, :2].min(axis=0)
        self.east, self.south = bounds[:, 2:].max(axis=0)
        self.px_per_unit = MAP_SIDE_PX / max(self.east - self.west, self.south - self.north)
        size = np.ceil(self.px_per_unit * np.array([self.east - self.west, self.south - self.north])).astype(int)
        self.mosaic = Image.new('RGB', tuple(np.maximum(size, 1).tolist()), 'white')

    def paste(self, tile: Tile, rgb: Image.Image) -> None:
        """Add a tile's image."""
        corners = (np.array(self.boxes[tile]) - (self.west, self.north) * 2) * self.px_per_unit
        left, top, right, bottom = corners.round().astype(int).tolist()
        self.mosaic.paste(rgb.resize((max(right - left, 1), max(bottom - top, 1))), (left, top))

    def save(self, path: Path, split_of: dict[Tile, str], polygons: np.ndarray) -> None:
        """Write the map with the tiles coloured by split and the buildings outlined.

        Args:
            path: PNG file.
            split_of: `train` or `val` for every tile that was used.
            polygons: Outlines in grid units.
        """
        width, height = (max(16 * side / max(self.mosaic.size), 3) for side in self.mosaic.size)
        figure = new_figure(width, height + 1.5)
        axes = figure.add_subplot()
        axes.imshow(self.mosaic, extent=(self.west, self.east, self.south, self.north))
        legend = _draw_parts(
            axes, [(split_of.get(tile, 'left out'), shapely.box(*self.boxes[tile])) for tile in self.boxes], 0.25
        )
        world = shapely.box(self.west, self.north, self.east, self.south)
        outlines = shapely.get_parts(polygons[shapely.intersects(polygons, world)])
        legend.append(_draw_outlines(axes, outlines, LABELS[0], f'{len(outlines)} building outlines'))
        axes.set(xlim=(self.west, self.east), ylim=(self.south, self.north), xlabel='longitude °', ylabel='latitude °')
        middle = [(self.west + self.east) / 2, (self.north + self.south) / 2]
        axes.xaxis.set_major_formatter(lambda x, _: f'{to_lon_lat_deg(np.array([[x, middle[1]]]))[0, 0]:.5f}')
        axes.yaxis.set_major_formatter(lambda y, _: f'{to_lon_lat_deg(np.array([[middle[0], y]]))[0, 1]:.5f}')
        add_legend(figure, legend, 'lower center', 4)
        write_figure(figure, path)


def write_contact_sheet(
    folder: Path,
    tiles: Sequence[tuple[str, str, Sequence[float]]],
    tile_px: int,
    clean: 'geopandas.GeoDataFrame',
    labels: 'geopandas.GeoDataFrame',
) -> None:
    """Write `overview.png`: a map of the parts, and some tiles of each with the outlines of their labels.

    Args:
        folder: The set; images lie in PART/images/TILE.png.
        tiles: Name of each tile, its part ('left out' for none), and its transform from (column, row) to (x, y).
        tile_px: Side of a tile.
        clean: Labels as they were.
        labels: Labels as they were drawn.
    """
    boxes = {name: _ground(transform, tile_px) for name, _, transform in tiles}
    parts = [part for part in PARTS if part != 'left out' and any(its == part for _, its, _ in tiles)]
    figure = new_figure(4 + 2.4 * TILES_PER_PART, 2.6 * len(parts) + 0.6)
    axes = figure.subplot_mosaic(
        [['map', *(f'{part}{i}' for i in range(TILES_PER_PART))] for part in parts],
        width_ratios=[1.6] + [1] * TILES_PER_PART,
    )
    legend = _draw_parts(axes['map'], [(part, boxes[name]) for name, part, _ in tiles], 1)
    centers = shapely.get_coordinates(shapely.centroid(labels.geometry.to_numpy()))
    axes['map'].scatter(centers[:, 0], centers[:, 1], s=0.5, color='black', linewidths=0)
    axes['map'].autoscale_view()
    axes['map'].set_aspect('equal')
    hide_axes(axes['map'])
    sources = [(LABELS[0], 'labels', clean)]
    if labels is not clean:
        sources.append((LABELS[1], 'displaced labels (drawn into the masks)', labels))
    legend += [Patch(facecolor='none', edgecolor=color, label=label) for color, label, _ in sources]
    for part in parts:
        names = sorted(name for name, its, _ in tiles if its == part)
        chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, TILES_PER_PART).astype(int))]
        for number in range(TILES_PER_PART):
            hide_axes(cell := axes[f'{part}{number}'])
            if number >= len(chosen):
                continue
            box = boxes[chosen[number]]
            west, south, east, north = box.bounds
            image = Image.open(folder / part / 'images' / f'{chosen[number]}.png').resize((256, 256))
            cell.imshow(image, extent=(west, east, south, north), aspect='auto')
            for color, label, frame in sources:
                near = frame.geometry.to_numpy()[frame.sindex.query(box, predicate='intersects')]
                _draw_outlines(cell, shapely.get_parts(near), color, label)
            cell.set(xlim=(west, east), ylim=(south, north), box_aspect=1)
            cell.set_title(f'{part}  {chosen[number][-9:]}', fontsize=8, color=PARTS[part])
    add_legend(figure, legend, 'lower center')
    write_figure(figure, folder / 'overview.png')


def _ground(transform: Sequence[float], tile_px: int) -> shapely.Polygon:
    a, _, c, _, e, f = transform
    return shapely.box(c, f + e * tile_px, c + a * tile_px, f)


def _draw_parts(axes: Axes, tiles: Iterable[tuple[str, shapely.Polygon]], alpha: float) -> list[Any]:
    """Colour the ground of tiles by their parts; returns what the legend says."""
    grounds = defaultdict(list)
    for part, box in tiles:
        grounds[part].append(box)
    shown = [(part, color, grounds[part]) for part, color in PARTS.items() if grounds[part]]
    for _, color, boxes in shown:
        ground = shapely.get_parts(shapely.union_all(boxes))
        axes.add_collection(PolyCollection(_rings(ground), facecolor=color, alpha=alpha))
        edge = color if alpha < 1 else 'white'
        axes.add_collection(PolyCollection(_rings(boxes), facecolor='none', edgecolor=edge, linewidth=0.5))
    return [Patch(color=color, label=f'{part}: {len(boxes)} tiles') for part, color, boxes in shown]


def _draw_outlines(axes: Axes, polygons: Iterable[Any], color: str, label: str) -> Patch:
    axes.add_collection(PolyCollection(_rings(polygons), facecolor='none', edgecolor=color, linewidth=0.7))
    return Patch(facecolor='none', edgecolor=color, label=label)


def _rings(polygons: Iterable[Any]) -> list[np.ndarray]:
    return [shapely.get_coordinates(ring) for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
