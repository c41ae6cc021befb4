"""Moves building labels by a stated amount: an honest way to make a noisy domain out of a clean one."""

from dataclasses import dataclass

import numpy as np
import shapely

from projects.city_scenes.view import View
from projects.geodata.coordinate_systems import meters_per_unit
from projects.geodata.polygonal import translate
from projects.geodata.vector_files import geopandas


@dataclass(frozen=True)
class Displacement:
    """How far labels are moved: all by `shift_m`, and each by its height as a roof leans in an off-nadir image.

    Lengths are metres on the ground, whatever the units of the map. East and north are the directions of the map's
    grid, which are those of the image's rows and columns.

    Attributes:
        shift_m: Metres east and north for all.
        off_nadir_deg: A building of height h is moved by h · tan(off-nadir angle) besides (see `View`).
        azimuth_deg: Direction of that, clockwise from north.
    """

    shift_m: tuple[float, float] = (0.0, 0.0)
    off_nadir_deg: float = 0.0
    azimuth_deg: float = 0.0

    def __post_init__(self) -> None:
        if len(self.shift_m) != 2 or not np.isfinite(self.shift_m).all():
            raise ValueError(f'shift_m = {self.shift_m}: expected metres east and metres north')
        if not np.isfinite(self.azimuth_deg):
            raise ValueError(f'azimuth_deg = {self.azimuth_deg}: expected degrees clockwise from north')
        View(1.0, self.off_nadir_deg, self.azimuth_deg)

    @property
    def is_none(self) -> bool:
        """Whether labels stay where they are."""
        return not any(self.shift_m) and not self.off_nadir_deg

    def offsets_m(self, heights_m: np.ndarray) -> np.ndarray:
        """Metres east and north for buildings of these heights (N,); those of unknown height do not lean: (N, 2)."""
        known_m = np.nan_to_num(np.asarray(heights_m, dtype=float), nan=0.0)
        return np.array(self.shift_m) + View(1.0, self.off_nadir_deg, self.azimuth_deg).offset_m(known_m)


def displace(buildings: geopandas.GeoDataFrame, displacement: Displacement) -> geopandas.GeoDataFrame:
    """A copy of labels, each polygon moved as a whole.

    Args:
        buildings: As `read_buildings` returns them.
        displacement: How far. Metres become map units by the scale at each building, so that it is exact in
            web-mercator and degrees too.

    Returns:
        The moved polygons with `offset_east_m` and `offset_north_m`. Unknown heights get `shift_m` alone.

    Raises:
        ValueError: An off-nadir angle is stated and no height is known.
    """
    heights_m = buildings['height_m'].to_numpy()
    if displacement.off_nadir_deg and len(heights_m) and np.isnan(heights_m).all():
        raise ValueError(
            f'off_nadir_deg = {displacement.off_nadir_deg} moves labels by their heights, and none is known; '
            'name the column that holds them (--height-column), or use a constant shift (--shift-m)'
        )
    offsets_m = displacement.offsets_m(heights_m)
    polygons = buildings.geometry.to_numpy()
    scales = meters_per_unit(buildings.crs, shapely.get_coordinates(shapely.centroid(polygons)))
    moved = translate(polygons, offsets_m / scales)
    columns = {'offset_east_m': offsets_m[:, 0], 'offset_north_m': offsets_m[:, 1]}
    return buildings.assign(**columns).set_geometry(
        geopandas.GeoSeries(moved, index=buildings.index, crs=buildings.crs)
    )
