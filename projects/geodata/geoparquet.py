"""Polygons in GeoParquet files: written whole, read by groups of rows (https://geoparquet.org, 1.0 and 1.1)."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from .coordinate_systems import parse_crs

try:
    import pyarrow
    from pyarrow import parquet
except ImportError as error:
    raise ImportError(f"{error}; GeoParquet needs the extra 'parquet': pip install -e '.[parquet]'") from error

MAGIC = b'PAR1'
DRIVER = 'Parquet'
LONGITUDE_LATITUDE = 'OGC:CRS84'  # of a file that does not say: what the specification takes it for
ROWS_PER_GROUP = 50_000  # those of an area are found by the boxes of groups
Bounds = tuple[float, float, float, float]


def write_geoparquet(frame: Any, path: Path) -> None:
    """Write a frame with the boxes of its rows, by which readers find those of an area; not atomic."""
    frame.to_parquet(
        path,
        index=False,
        compression='zstd',
        schema_version='1.1.0',
        write_covering_bbox=len(frame) > 0,
        row_group_size=ROWS_PER_GROUP,
    )


class GeoParquet:
    """An open file.

    Args:
        path: Of it.

    Attributes:
        columns: Names, besides geometries and boxes.
        crs: Coordinate system; None: the file says that it is not known.
        features: How many there are.
        kinds: Types of geometry that the file states, such as 'Polygon'; (): any.

    Raises:
        ValueError: It is broken, or lacks what makes a Parquet file GeoParquet.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = parquet.ParquetFile(path)
            stated = json.loads((self._file.schema_arrow.metadata or {}).get(b'geo', b'null'))
            if stated is None:
                raise ValueError('it has no metadata "geo", which says where geometries are')
            self._geometry = stated['primary_column']
            column = stated['columns'][self._geometry]
            if column['encoding'] != 'WKB':
                raise ValueError(f'its geometries are encoded as {column["encoding"]!r}, not as WKB')
        except (pyarrow.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
            reason = ' '.join(str(error).split()) if not isinstance(error, KeyError) else f'it lacks {error}'
            raise ValueError(
                f'{path} is no GeoParquet ({reason}); expected version 1 with WKB: gpd.GeoDataFrame.to_parquet or '
                'ogr2ogr write it'
            ) from error
        crs = column.get('crs', LONGITUDE_LATITUDE)
        self.crs = None if crs is None else parse_crs(crs).to_wkt()
        self._boxes = {side: '.'.join(parts) for side, parts in column.get('covering', {}).get('bbox', {}).items()}
        apart = {*stated['columns'], *(name.partition('.')[0] for name in self._boxes.values())}
        self.columns = [name for name in self._file.schema_arrow.names if name not in apart]
        self.kinds = tuple(column.get('geometry_types', ()))
        self.features = self._file.metadata.num_rows
        self._bounds = column.get('bbox')

    def bounds(self) -> Bounds | None:
        """West, south, east and north of all that is there, as stated or, where nothing is, as read; None: nothing."""
        if self._bounds is None:
            boxes = [shapely.total_bounds(part) for part, _, _ in self._groups((), None) if len(part)]
            found = np.array(boxes).reshape(-1, 4)
            found = found[np.isfinite(found).all(axis=1)]
            self._bounds = [*found[:, :2].min(axis=0), *found[:, 2:].max(axis=0)] if len(found) else []
        half = len(self._bounds) // 2  # 3 with heights
        return None if not half else tuple(float(self._bounds[i]) for i in (0, 1, half, half + 1))  # type: ignore[return-value]

    def read(self, columns: Sequence[str], bbox: Bounds | None) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        """Geometries, values and numbers, as `VectorLayer.read` returns them; one group of rows is held at a time."""
        found = list(self._groups(columns, bbox))
        outlines = np.concatenate([np.zeros(0, object), *(part for part, _, _ in found)])
        numbers = np.concatenate([np.zeros(0, np.int64), *(part for _, _, part in found)])
        if not found:
            return outlines, {name: np.zeros(0, object) for name in columns}, numbers
        tables = [table for _, table, _ in found]
        return outlines, {name: np.concatenate([table[name] for table in tables]) for name in columns}, numbers

    def _groups(self, columns: Sequence[str], bbox: Bounds | None) -> Iterator[tuple[Any, dict[str, Any], Any]]:
        first = 0
        for group in range(self._file.metadata.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if bbox is None or self._may_meet(group, bbox):
                table = self._file.read_row_group(group, columns=[self._geometry, *columns])
                encoded = table[self._geometry].to_numpy()
                outlines = np.atleast_1d(shapely.force_2d(shapely.from_wkb(encoded, on_invalid='fix')))
                kept = np.full(count, True) if bbox is None else shapely.intersects(outlines, shapely.box(*bbox))
                yield (
                    outlines[kept],
                    {name: _values(table[name])[kept] for name in columns},
                    first + np.flatnonzero(kept),
                )
            first += count

    def _may_meet(self, group: int, bbox: Bounds) -> bool:
        """Whether something of a group of rows may meet a box, by the extremes of its rows' boxes."""
        extremes = {}
        row_group = self._file.metadata.row_group(group)
        for index in range(row_group.num_columns):
            chunk = row_group.column(index)
            if chunk.statistics is not None and chunk.statistics.has_min_max:
                extremes[chunk.path_in_schema] = chunk.statistics
        try:
            low, high = ([extremes[self._boxes[f'{axis}{end}']] for axis in 'xy'] for end in ('min', 'max'))
        except KeyError:
            return True
        return all(low[i].min <= bbox[i + 2] and high[i].max >= bbox[i] for i in (0, 1))


def _values(column: Any) -> np.ndarray:
    """Values of a column as GDAL's readers give them: numbers with NaN, else objects with None."""
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.to_numpy()
