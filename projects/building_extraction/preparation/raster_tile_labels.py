"""Building polygons -> what one raster tile is labelled with: mask, instance map, height map, tables."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from projects.geodata.raster_files import rasterize
from projects.geodata.vector_files import geopandas

from .tile_set import TileLabels, instance_masks

MIN_AREA_PX = 16  # smaller pieces, at a tile's border, are ignored by COCO evaluation (iscrowd)


@dataclass
class LabelIndex:
    """Labels of a whole area, prepared for queries by tile. Where polygons overlap the highest is on top.

    Args:
        buildings: As `read_buildings` returns them, in the image's coordinate system.
    """

    buildings: geopandas.GeoDataFrame
    polygons: np.ndarray = field(init=False)
    polygon_heights_m: np.ndarray = field(init=False)
    structures: np.ndarray = field(init=False)
    structure_heights_m: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        ascending = self.buildings.sort_values('height_m', na_position='first', kind='stable')
        self.polygons = ascending.geometry.to_numpy()
        self.polygon_heights_m = ascending['height_m'].to_numpy()
        self.structures = ascending['structure'].to_numpy()
        self.structure_heights_m = np.full(self.structures.max(initial=-1) + 1, np.nan)
        np.fmax.at(self.structure_heights_m, self.structures, self.polygon_heights_m)
        self.tree = shapely.STRtree(self.polygons)

    def in_box(self, bounds: tuple[float, float, float, float]) -> np.ndarray:
        """Positions of the polygons that meet a box, from the lowest to the highest."""
        return np.sort(self.tree.query(shapely.box(*bounds), predicate='intersects'))

    def label_tile(self, transform: Any, valid: np.ndarray) -> tuple[TileLabels, list[dict[str, Any]]]:
        """Label one tile.

        Args:
            transform: From (column, row) to the coordinates of the polygons.
            valid: (H, W) Which pixels have data.

        Returns:
            The labels, and their buildings as COCO annotations without `id` and `image_id`. Either names a building by
            its number among all labels (`building`), says its height (`height_m`, `building_height`: of its highest
            part; None is unknown) and whether it reaches the tile's border (`cut`).

        Raises:
            ValueError: More buildings than a 16-bit instance map can number.
        """
        height, width = valid.shape
        left, top = transform @ (0, 0)
        right, bottom = transform @ (width, height)
        found = self.in_box((left, bottom, right, top))
        painted = rasterize(
            self.polygons[found], np.arange(1, len(found) + 1), (width, height), transform, dtype=np.int32
        )
        painted[~valid] = 0
        seen = np.unique(self.structures[found][np.unique(painted[painted > 0]) - 1])
        if len(seen) > np.iinfo(np.uint16).max:
            raise ValueError(f'{len(seen)} buildings in one tile of {width} x {height} pixels; use a smaller --tile-px')
        number_of = np.concatenate([[0], np.searchsorted(seen, self.structures[found]) + 1])
        instances = number_of[painted].astype(np.uint16)
        heights_m = np.concatenate([[0], self.polygon_heights_m[found]])[painted].astype(np.float32)
        buildings, annotations = self._tables(instances, seen)
        return TileLabels(instances, heights_m, buildings, ~valid), annotations

    def _tables(self, instances: np.ndarray, seen: np.ndarray) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        height, width = instances.shape
        buildings, annotations = [], []
        for number, mask in instance_masks(instances):
            structure = int(seen[number - 1])
            height_m = float(self.structure_heights_m[structure])
            known_height_m = None if np.isnan(height_m) else height_m
            left, top, across, down = mask['bbox']
            cut = left == 0 or top == 0 or left + across == width or top + down == height
            common = {'building': structure, 'cut': cut}
            buildings.append({'instance': number, 'height_m': known_height_m, 'area_px': mask['area']} | common)
            own = {'iscrowd': int(mask['area'] < MIN_AREA_PX), 'instance': number, 'building_height': known_height_m}
            annotations.append(mask | own | common)
        return buildings, annotations
