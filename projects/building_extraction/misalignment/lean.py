"""How displacement follows from place and height: a shift, a rotation, a scale, and the lean of an off-nadir image."""

from dataclasses import dataclass

import numpy as np
import shapely

MIN_BUILDINGS = 8  # that rotation, scale and lean are fitted to
MIN_HEIGHT_SPREAD_M = 3.0
SHIFT, SIMILARITY, LEAN = [0, 1], [2, 3], [4, 5]  # numbers of the coefficients


@dataclass(frozen=True)
class Trend:
    """offset = shift + (scale · rotation - 1) · (place in the reference - middle) + slope · height.

    Attributes:
        middle_m: (2,) Where rotation and scale move nothing.
        coefficients: (6,) Metres east and north at height 0 in the middle; scale · cos(rotation) - 1 and scale ·
            sin(rotation), counter-clockwise; metres east and north per metre of height. 0 where not fitted.
        half_widths: (6,) Of their intervals of 95 %, by the scatter of the labels that follow; infinite where these are
            too few for it, 0 where not fitted.
        fitted: Which of the coefficients were.
        followers: Labels within the tolerance of what this predicts.
        considered: Matched labels, of known height where a lean is fitted.
        rms_m: Root mean square distance of the followers to it.
        tolerance_m: Distance up to which a label follows.
    """

    middle_m: np.ndarray
    coefficients: np.ndarray
    half_widths: np.ndarray
    fitted: tuple[int, ...]
    followers: int
    considered: int
    rms_m: float
    tolerance_m: float

    @property
    def shift_m(self) -> tuple[float, float]:
        """Metres east and north at height 0, in the middle."""
        return tuple(self.coefficients[SHIFT].tolist())

    @property
    def shift_95_m(self) -> float:
        """Half width of the interval of either."""
        return float(self.half_widths[0])

    @property
    def slope(self) -> tuple[float, float]:
        """Metres east and north per metre of height."""
        return tuple(self.coefficients[LEAN].tolist())

    @property
    def slope_95(self) -> float:
        """Half width of the interval of either."""
        return float(self.half_widths[4])

    @property
    def includes_lean(self) -> bool:
        """Whether growth with height was fitted."""
        return LEAN[0] in self.fitted

    @property
    def has_lean(self) -> bool:
        """Whether the displacement surely grows with the height: by chance, one of 2,000 does."""
        return self.includes_lean and bool(np.hypot(*self.slope) > 2 * self.slope_95)

    @property
    def includes_rotation(self) -> bool:
        """Whether rotation and scale were fitted."""
        return SIMILARITY[0] in self.fitted

    @property
    def has_rotation(self) -> bool:
        """Whether the labels are surely turned or scaled against the reference, as `has_lean` is sure."""
        return self.includes_rotation and bool(np.hypot(*self.coefficients[SIMILARITY]) > 2 * self.scale_95)

    @property
    def inlier_share(self) -> float:
        """Share of the considered labels that follow."""
        return self.followers / self.considered

    @property
    def off_nadir_deg(self) -> float:
        """atan(|slope|)."""
        return float(np.degrees(np.arctan(np.hypot(*self.slope))))

    @property
    def off_nadir_95_deg(self) -> tuple[float, float]:
        """Interval of `off_nadir_deg`."""
        slope = np.hypot(*self.slope)
        low, high = np.degrees(np.arctan([max(slope - self.slope_95, 0), slope + self.slope_95])).tolist()
        return low, high

    @property
    def azimuth_deg(self) -> float:
        """Direction of the lean, clockwise from north, 0 to 360."""
        return float(np.degrees(np.arctan2(*self.slope)) % 360)

    @property
    def azimuth_95_deg(self) -> float:
        """Half width of its interval; 180 if nothing is known of it."""
        slope = np.hypot(*self.slope)
        return float(np.degrees(np.arcsin(self.slope_95 / slope))) if slope > self.slope_95 else 180.0

    @property
    def scale(self) -> float:
        """Length of the labels by that of the reference."""
        cosine, sine = self.coefficients[SIMILARITY]
        return float(np.hypot(1 + cosine, sine))

    @property
    def rotation_deg(self) -> float:
        """By which the labels are turned against the reference, counter-clockwise."""
        cosine, sine = self.coefficients[SIMILARITY]
        return float(np.degrees(np.arctan2(sine, 1 + cosine)))

    @property
    def scale_95(self) -> float:
        """Half width of the interval of `scale`, and in radians of the rotation."""
        return float(self.half_widths[2])

    def straighten(self, polygons: np.ndarray) -> np.ndarray:
        """Polygons (N,) turned and scaled back, each about its own centroid, if `has_rotation`."""
        if not self.has_rotation:
            return polygons
        cosine, sine = self.coefficients[SIMILARITY]
        back = np.linalg.inv([[1 + cosine, -sine], [sine, 1 + cosine]])
        corners, owner = shapely.get_coordinates(polygons, return_index=True)
        centers = shapely.get_coordinates(shapely.centroid(polygons))[owner]
        return shapely.set_coordinates(np.array(polygons, dtype=object), (corners - centers) @ back.T + centers)

    def predict_m(self, places_m: np.ndarray, heights_m: np.ndarray) -> np.ndarray:
        """Offsets (N, 2) expected of labels that are at places (N, 2), of heights (N,), of which unknown ones are 0."""
        moved_m = np.array(self.shift_m) + np.nan_to_num(heights_m)[:, None] * np.array(self.slope)
        cosine, sine = self.coefficients[SIMILARITY]
        back = np.linalg.inv([[1 + cosine, -sine], [sine, 1 + cosine]])
        return places_m - self.middle_m - (places_m - self.middle_m - moved_m) @ back.T


def lean_obstacle(heights_m: np.ndarray) -> str:
    """Why heights (N,) of matched labels do not let a lean be told; empty if they do."""
    known_m = heights_m[np.isfinite(heights_m)]
    if len(known_m) < MIN_BUILDINGS:
        return f'{len(known_m)} matched labels have a known height; {MIN_BUILDINGS} are needed'
    low_m, high_m = np.percentile(known_m, (5, 95)).tolist()
    if high_m - low_m < MIN_HEIGHT_SPREAD_M:
        return (
            f'all are about as high ({low_m:.1f} to {high_m:.1f} m): a lean would move all alike, and is in the shift'
        )
    return ''


def design_matrix(places_m: np.ndarray, heights_m: np.ndarray) -> np.ndarray:
    """(N, 2, 6) By which coefficients become offsets of labels, at places (N, 2) in the reference from the middle."""
    x, y = places_m.T
    one, zero = np.ones(len(x)), np.zeros(len(x))
    rows = [[one, zero, x, -y, heights_m, zero], [zero, one, y, x, zero, heights_m]]
    return np.moveaxis(np.array(rows), 2, 0)
