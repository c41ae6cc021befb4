"""What is asked of rasters; command lines can say it without GDAL."""

from dataclasses import dataclass

from projects.command_line import UsageError
from projects.reporting.maps import LIMIT_MB

from ...model_info import MIN_SIDE_PX, ModelInfo


@dataclass(frozen=True)
class RasterSettings:
    """How a raster is predicted.

    Attributes:
        window_px: Side of the square windows; a model of fixed size has its own.
        overlap_px: What neighbouring windows share at least, at most half a window. None: an eighth of the window for
            segmentors, a quarter for detectors, for which it should exceed the size of most objects.
        batch_size: Windows per call, at most; a model of fixed batch has its own. Fewer, where the probabilities of
            many classes would take too much memory.
        bands: One or three bands to read, from 1; None: as `open_raster` chooses.
        gsd_m: Resample the image to this ground sample distance as it is read; None: its own pixels, wherever it lies.
        layers: What is written of a segmentor; see `layers_of`.
        classes: Bands of the layer 'probabilities'; (): all.
        probability_dtype: 'uint8', whose 255 means 1, or 'float32'.
        min_score: Objects with a lower score are left out.
    """

    window_px: int = 512
    overlap_px: int | None = None
    batch_size: int = 4
    bands: tuple[int, ...] | None = None
    gsd_m: float | None = None
    layers: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    probability_dtype: str = 'uint8'
    min_score: float = 0.0

    def overlap_for(self, info: ModelInfo) -> int:
        """Pixels that neighbouring windows of a model share.

        Raises:
            UsageError: Windows, batches, bands or the overlap are not such that any raster can be predicted.
        """
        smallest = min(info.input_size or (self.window_px,))
        if smallest < MIN_SIDE_PX or self.batch_size < 1:
            raise UsageError(
                f'window_px {self.window_px}, batch_size {self.batch_size}: expected at least {MIN_SIDE_PX} and 1'
            )
        if self.bands is not None and (len(self.bands) not in (1, 3) or min(self.bands) < 1):
            raise UsageError(f'bands {list(self.bands)}: expected 1 or 3 numbers, from 1')
        overlap = smallest // (8 if info.is_segmentor else 4) if self.overlap_px is None else self.overlap_px
        if not 0 <= overlap <= smallest // 2:
            raise UsageError(f'overlap_px {overlap}: expected 0 to {smallest // 2}, half of the window')
        if not info.is_segmentor and (self.layers or self.classes):
            raise UsageError(f'layers {list(self.layers)}, classes {list(self.classes)}: a detector has none')
        return overlap


@dataclass(frozen=True)
class PolygonSettings:
    """Which polygons are made of a raster's result.

    Attributes:
        format: Suffix of the file, one of `POLYGON_FORMATS`.
        min_area_m2: Smaller ones are left out.
        regularise: Make right angles.
    """

    format: str = 'gpkg'
    min_area_m2: float = 0.0
    regularise: bool = False


@dataclass(frozen=True)
class MapSettings:
    """What a page with a map of a result says besides it.

    Attributes:
        model: The model, as it was named.
        command: What made the result.
        limit_mb: About how large a page may become.
    """

    model: str = ''
    command: str = ''
    limit_mb: float = LIMIT_MB
