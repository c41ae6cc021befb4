"""Objects that a detector found in overlapping windows, each of them once."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import shapely
from shapely import STRtree

from projects.geodata.polygonal import mask_outline, translate
from projects.geodata.vector_files import PIXEL, geopandas
from projects.pixels.pasting import paste_mask

from ...model_info import ModelInfo
from ...predictions import Detections
from .windows import WindowAxis

CUT_PX = 2  # a box that comes so close to a border of its window, where the raster goes on, may be cut off there
MARGIN_PX = 16  # windows disagree a little on where an object's centre is
SAME_IOU = 0.5  # two boxes or masks that overlap by more, in two windows, are one object
INSIDE = 0.7  # as is a cut part that lies by more than this share inside of another
OFFSET_COLUMNS = ('offset_x', 'offset_y')  # of a frame: from a building's footprint to its roof, in units of its system


@dataclass(frozen=True)
class RasterInstances:
    """Objects in the pixels of the raster: (column, row), pixel (0, 0) covers 0 to 1.

    Attributes:
        boxes: (N, 4) float64, left, top, right, bottom.
        scores: (N,) float64.
        labels: (N,) int64, index of the class.
        polygons: (N,) Polygons and MultiPolygons with holes along the pixels' edges, or boxes from a model without
            masks.
        windows: (N,) int64, number of the window in which each was found.
        is_cut: (N,) Whether it touches a border of that window.
        offsets: (N, 2) float64, from a building's footprint to its roof, which the polygon is; NaN from models without.
        heights_m: (N,) float64 metres above ground; NaN from models without.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    polygons: np.ndarray
    windows: np.ndarray
    is_cut: np.ndarray
    offsets: np.ndarray
    heights_m: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, chosen: np.ndarray) -> 'RasterInstances':
        """Those of an index or boolean array."""
        return RasterInstances(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def to_record(self) -> dict[str, list]:
        """JSON values that `from_record` reads."""
        record = {field.name: getattr(self, field.name).tolist() for field in fields(self)}
        record |= {name: _with_none(getattr(self, name)) for name in ('offsets', 'heights_m')}
        return record | {'polygons': shapely.to_wkb(self.polygons, hex=True).tolist()}

    @classmethod
    def from_record(cls, record: dict[str, list]) -> 'RasterInstances':
        """Read what `to_record` returned; an earlier version knew no offsets and heights."""
        number = len(record['scores'])
        return cls(
            np.array(record['boxes'], dtype=float).reshape(-1, 4),
            np.array(record['scores'], dtype=float),
            np.array(record['labels'], dtype=np.int64),
            np.array(shapely.from_wkb(record['polygons']), dtype=object).reshape(-1),
            np.array(record['windows'], dtype=np.int64),
            np.array(record['is_cut'], dtype=bool),
            np.array(record.get('offsets', [[None] * 2] * number), dtype=float).reshape(-1, 2),
            np.array(record.get('heights_m', [None] * number), dtype=float),
        )

    @classmethod
    def concatenate(cls, parts: Iterable['RasterInstances']) -> 'RasterInstances':
        """All of them, in order."""
        parts = [cls.from_record({field.name: [] for field in fields(cls)}), *parts]
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def place_detections(
    detections: Detections,
    valid: np.ndarray,
    rows: WindowAxis,
    columns: WindowAxis,
    index: tuple[int, int],
    info: ModelInfo,
) -> RasterInstances:
    """Bring what was found in one window into the raster.

    Left out are objects whose centre lies beyond the seams of the window by more than `MARGIN_PX` (an object that is
    smaller than the overlap is seen whole by the window between whose seams its centre lies), those that lie on no
    pixel with data, and those without a pixel in their mask.

    Args:
        detections: In pixels of the window.
        valid: (h, w) Pixels of the window with data.
        rows: Windows from top to bottom.
        columns: Windows from left to right.
        index: Row and column of the window.
        info: The model.
    """
    size = np.array([columns.length_px, rows.length_px])
    corner = np.array([columns.starts[index[1]], rows.starts[index[0]]])
    inner = np.minimum(valid.shape[::-1], size - corner)
    low = np.array([columns.seams[index[1]], rows.seams[index[0]]]) - MARGIN_PX
    high = np.array([columns.seams[index[1] + 1], rows.seams[index[0] + 1]]) + MARGIN_PX
    local = np.clip(detections.boxes.astype(float), 0, np.tile(inner, 2))
    boxes = local + np.tile(corner, 2)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    kept, polygons = [], []
    for number in np.flatnonzero(((centers >= low) & (centers < high)).all(axis=1)).tolist():
        polygon = _outline(detections, number, local[number], valid, corner, info)
        if polygon is not None:
            kept.append(number)
            polygons.append(polygon)
    cut_low = (local[:, :2] < CUT_PX) & (corner > 0)
    cut_high = (local[:, 2:] > inner - CUT_PX) & (corner + inner < size)
    return RasterInstances(
        boxes[kept],
        detections.scores[kept].astype(float),
        detections.labels[kept].astype(np.int64),
        np.array(polygons, dtype=object),
        np.full(len(kept), index[0] * len(columns.starts) + index[1], dtype=np.int64),
        (cut_low | cut_high).any(axis=1)[kept],
        _given(detections.offsets, (len(detections.scores), 2))[kept],
        _given(detections.heights_m, (len(detections.scores),))[kept],
    )


def _given(values: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, np.nan) if values is None else values.astype(float)


def _with_none(values: np.ndarray) -> list:
    """Lists with None for NaN, which JSON has not."""
    objects = values.astype(object)
    objects[np.isnan(values)] = None
    return objects.tolist()


def _outline(
    detections: Detections, number: int, box: np.ndarray, valid: np.ndarray, corner: np.ndarray, info: ModelInfo
) -> shapely.Geometry | None:
    if detections.masks is None:
        left, top = np.floor(box[:2]).astype(int)
        right, bottom = np.ceil(box[2:]).astype(int)
        return shapely.box(*(box + np.tile(corner, 2))) if valid[top:bottom, left:right].any() else None
    rows, columns, mask = paste_mask(
        detections.masks[number], detections.boxes[number], valid.shape, info.mask_threshold
    )
    mask = mask & valid[rows, columns]
    place = np.array([int(corner[0]) + columns.start, int(corner[1]) + rows.start])
    return shapely.transform(mask_outline(mask), lambda points: points + place) if mask.any() else None


def merge_instances(found: RasterInstances) -> RasterInstances:
    """Keep each object once, by falling score.

    Of two objects of one class from different windows that overlap by an IoU of more than `SAME_IOU`, or of which one
    is cut by the border of its window and lies by more than `INSIDE` in the other, the one that is not cut is kept; of
    two that are not cut the one with the higher score, of two that are cut the larger. What a model says within one
    window is left as it is. An object that is larger than the overlap of windows may remain in parts. Buildings with
    offsets are compared by their roofs, and cut if roof and footprint together are, so that the window is believed that
    sees both.

    Args:
        found: Those of all windows, in any order.
    """
    merits = np.where(found.is_cut, shapely.area(found.polygons), found.scores)
    found = found.select(np.lexsort((*found.boxes.T, found.windows, -merits, found.is_cut)))
    earlier, later = STRtree(found.polygons).query(found.polygons, predicate='intersects')
    pairs = (earlier < later) & (found.labels[earlier] == found.labels[later])
    pairs &= found.windows[earlier] != found.windows[later]
    earlier, later = earlier[pairs], later[pairs]
    areas = shapely.area(found.polygons)
    shared = shapely.area(shapely.intersection(found.polygons[earlier], found.polygons[later]))
    is_same = shared > SAME_IOU * (areas[earlier] + areas[later] - shared)
    for one in (earlier, later):
        is_same |= found.is_cut[one] & (shared > INSIDE * areas[one])
    kept = np.ones(len(found), dtype=bool)
    sequence = np.lexsort((later[is_same], earlier[is_same]))
    for first, second in zip(earlier[is_same][sequence].tolist(), later[is_same][sequence].tolist(), strict=True):
        if kept[first] or (found.is_cut[second] and not found.is_cut[first]):  # else one like the first was kept
            kept[second] = False
    found = found.select(kept)
    return found.select(np.lexsort((*found.boxes.T, -found.scores)))


def to_map(instances: RasterInstances, transform: Any, crs: Any, info: ModelInfo) -> geopandas.GeoDataFrame:
    """Columns class, score and geometry in a raster's coordinate system.

    Of buildings with offsets also `offset_x` and `offset_y`, from footprint to roof in units of that system, and
    `height_m`; the geometry is the roof, see `to_footprints`.

    Args:
        instances: In pixels of the raster.
        transform: From (column, row) to (x, y), six numbers a, b, c, d, e, f.
        crs: Coordinate system of x and y.
        info: The model, whose classes are named.
    """
    a, b, c, d, e, f = transform[:6]
    matrix, origin = np.array([[a, b], [d, e]]), np.array([c, f])
    placed = shapely.transform(instances.polygons, lambda places: places @ matrix.T + origin)
    if (shapely.get_type_id(placed) == shapely.GeometryType.MULTIPOLYGON).any():
        placed = np.array([shapely.MultiPolygon(shapely.get_parts(one)) for one in placed], dtype=object)
    columns = {'class': [info.classes[label] for label in instances.labels], 'score': instances.scores}
    if np.isfinite(instances.offsets).any():
        columns |= dict(zip(OFFSET_COLUMNS, (instances.offsets @ matrix.T).T, strict=True))
        columns['height_m'] = instances.heights_m
    frame = geopandas.GeoDataFrame(columns, geometry=placed, crs=crs)
    frame.attrs[PIXEL] = float(np.hypot(a, d))
    return frame


def to_footprints(roofs: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame | None:
    """Roofs of `to_map` moved back to where their buildings stand, whole, wherever that is; None without offsets."""
    if not {*OFFSET_COLUMNS} <= {*roofs.columns}:
        return None
    offsets = roofs[list(OFFSET_COLUMNS)].to_numpy(float)
    footprints = translate(roofs.geometry.to_numpy(), -offsets)
    return roofs.set_geometry(geopandas.GeoSeries(footprints, index=roofs.index, crs=roofs.crs))
