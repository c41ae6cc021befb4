"""What the conversion of map tiles did: in words, and as a map to look at."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch
from PIL import Image

from projects.building_extraction.preparation.web_mercator import Tile, to_lon_lat_deg
from projects.reporting.figures import add_legend, new_figure, write_figure
from projects.reporting.palette import LABELS, PARTS

MAP_SIDE_PX = 1600
MAX_LISTED = 20


@dataclass
class SplitCounts:
    """Contents of one side of the split.

    Attributes:
        tiles: Images.
        instances: Annotations that count.
        mostly_transparent: Annotations with `iscrowd` 1, since too little of the building can be seen.
        on_the_border: Annotations with `iscrowd` 1, since training sees another part of the building.
        empty_tiles: Images without instance.
        building_share: Mean share of the visible pixels that is building.
    """

    tiles: int
    instances: int
    mostly_transparent: int
    on_the_border: int
    empty_tiles: int
    building_share: float


@dataclass
class GeotilesReport:
    """What was read, written and left out.

    Attributes:
        found: Tiles found.
        unnamed: Images whose name is no tile.
        transparent: Tiles left out since no pixel is visible.
        bad: Tiles left out since they cannot be read, with the reason.
        labels: Features used, repaired and left out.
        left_out: Instances left out, by reason.
        block_zoom: Zoom of the blocks that were split.
        shared_sides: Sides that validation blocks share with training blocks.
        gsd_m: Mean ground sample distance per zoom.
        splits: Contents of `train` and `val`.
    """

    found: int
    unnamed: list[str]
    labels: dict[str, int]
    block_zoom: int
    transparent: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    shared_sides: int = 0
    gsd_m: dict[int, float] = field(default_factory=dict)
    splits: dict[str, SplitCounts] = field(default_factory=dict)

    def __str__(self) -> str:
        used = sum(split.tiles for split in self.splits.values())
        lines = [
            f'tiles      {used} used of {self.found} found; left out: {len(self.transparent)} wholly transparent, '
            f'{len(self.bad)} unreadable; {len(self.unnamed)} images whose name is no tile',
            f'outlines   {_listing(self.labels)}',
            f'instances  left out: {_listing(self.left_out) or "none"}',
            *(f'zoom {zoom:<5} {gsd_m:.3f} m per pixel' for zoom, gsd_m in self.gsd_m.items()),
            f'split      by blocks of zoom {self.block_zoom}; {self.shared_sides} sides lie between train and val',
        ]
        for name, split in self.splits.items():
            lines.append(
                f'{name:<10} {split.tiles} tiles ({split.tiles / used:.1%}), {split.instances} instances, '
                f'{split.empty_tiles} tiles without; {split.building_share:.1%} building; ignored: '
                f'{split.mostly_transparent} mostly transparent, {split.on_the_border} cut by the split'
            )
        for title, names in (('unreadable', self.bad), ('no tile name', self.unnamed)):
            lines += [f'{title}: {name}' for name in names[:MAX_LISTED]]
            if len(names) > MAX_LISTED:
                lines.append(f'{title}: {len(names) - MAX_LISTED} more, listed under info in train.json')
        return '\n'.join(lines)


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
        groups = defaultdict(list)
        for tile in self.boxes:
            groups[split_of.get(tile, 'left out')].append(tile)
        legend = []
        for name, colour in PARTS.items():
            if not groups[name]:
                continue
            boxes = shapely.box(*np.array([self.boxes[tile] for tile in groups[name]]).reshape(-1, 4).T)
            ground = shapely.get_parts(shapely.union_all(boxes))
            axes.add_collection(PolyCollection(_rings(ground), facecolor=colour, alpha=0.25))
            axes.add_collection(PolyCollection(_rings(boxes), facecolor='none', edgecolor=colour, linewidth=0.8))
            legend.append(Patch(color=colour, label=f'{name}: {len(groups[name])} tiles'))
        outlines = shapely.get_parts(polygons[shapely.intersects(polygons, shapely.box(*self._bounds()))])
        axes.add_collection(PolyCollection(_rings(outlines), facecolor='none', edgecolor=LABELS[0], linewidth=0.7))
        legend.append(Patch(facecolor='none', edgecolor=LABELS[0], label=f'{len(outlines)} building outlines'))
        axes.set(xlim=(self.west, self.east), ylim=(self.south, self.north), xlabel='longitude °', ylabel='latitude °')
        middle = [(self.west + self.east) / 2, (self.north + self.south) / 2]
        axes.xaxis.set_major_formatter(lambda x, _: f'{to_lon_lat_deg(np.array([[x, middle[1]]]))[0, 0]:.5f}')
        axes.yaxis.set_major_formatter(lambda y, _: f'{to_lon_lat_deg(np.array([[middle[0], y]]))[0, 1]:.5f}')
        add_legend(figure, legend, 'lower center', 4)
        write_figure(figure, path)

    def _bounds(self) -> tuple[float, float, float, float]:
        return self.west, self.north, self.east, self.south


def _rings(polygons: Iterable[Any]) -> list[np.ndarray]:
    return [shapely.get_coordinates(polygon.exterior) for polygon in polygons]


def _listing(counts: dict[str, int]) -> str:
    return ', '.join(f'{count} {reason}' for reason, count in counts.items())
