"""Roofs, their offsets and heights in mmengine's evaluation samples: what was found, and what is labelled."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from projects.geodata.polygonal import mask_outline, mend_outlines, translate

from .height_class_samples import array, has_masks, name_of


@dataclass(frozen=True)
class Roofs:
    """Roofs of an image, in its pixels (right, down); pixel (0, 0) covers 0 to 1.

    Attributes:
        polygons: (N,) valid Polygons and MultiPolygons; empty ones where a mask is.
        offsets_px: (N, 2) roof - footprint, NaN where unknown.
        heights_m: (N,) metres above ground, NaN where unknown.
        scores: (N,) of what was found; 1 of labels.
    """

    polygons: np.ndarray
    offsets_px: np.ndarray
    heights_m: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.polygons)

    def select(self, chosen: np.ndarray) -> 'Roofs':
        """The roofs at these places, or where a mask is true."""
        return Roofs(self.polygons[chosen], self.offsets_px[chosen], self.heights_m[chosen], self.scores[chosen])

    def footprints(self, offsets_px: np.ndarray | None = None) -> np.ndarray:
        """(N,) roofs moved back by their offsets, or by other ones: whole, also where they leave the image."""
        return translate(self.polygons, -(self.offsets_px if offsets_px is None else offsets_px))


def read_found(sample: dict[str, Any], shape: tuple[int, int] | None) -> Roofs:
    """What a detector found: `masks`, `scores`, and where it predicts them `offsets` and `heights_m`.

    Args:
        sample: A data sample as a dict, as the evaluator gives it to metrics.
        shape: Height and width of the labels' masks; None: there are no labels.

    Raises:
        ValueError: There are no masks, of another size than the labels, or other numbers of offsets or heights; names
            the image.
    """
    if not has_masks(sample, 'pred_instances'):
        raise ValueError(f'{name_of(sample)} has no predicted roofs: expected masks in pred_instances')
    roofs, found_shape = _read(sample, 'pred_instances')
    if shape is not None and len(roofs) and found_shape != shape:
        raise ValueError(
            f'{name_of(sample)}: predictions are of {found_shape}, labels of {shape}. Labels must have the size of the '
            'image file: load them behind Resize in the test pipeline'
        )
    return roofs


def read_labeled(sample: dict[str, Any]) -> tuple[Roofs, shapely.Geometry, tuple[int, int] | None]:
    """The labels, what is to be ignored, and the height and width of the image (None without labels).

    Args:
        sample: A data sample as a dict, with `masks` of roofs, `offsets` and `heights_m` in `gt_instances`, and masks
            to be left out in `ignored_instances`. Absent offsets and heights are unknown.

    Raises:
        ValueError: There are no labels, or other numbers of offsets or heights; names the image.
    """
    if not has_masks(sample, 'gt_instances'):
        raise ValueError(
            f'{name_of(sample)} has no labels: expected masks of roofs in gt_instances. Load annotations with masks in '
            'the test pipeline'
        )
    roofs, shape = _read(sample, 'gt_instances')
    ignored = [shapely.Polygon()]
    if has_masks(sample, 'ignored_instances'):
        ignored += list(_outlines(sample['ignored_instances']['masks'])[0])
    return roofs, shapely.union_all(ignored), shape if len(roofs) else None


def _read(sample: dict[str, Any], kind: str) -> tuple[Roofs, tuple[int, int]]:
    instances = sample[kind]
    polygons, shape = _outlines(instances['masks'])
    number, columns = len(polygons), {}
    for name, width in (('offsets', 2), ('heights_m', 1), ('scores', 1)):
        values = array(instances[name]) if name in instances else np.full((number, width), np.nan)
        if values.shape not in {(number, width), (number,)} or values.size != number * width:
            raise ValueError(
                f'{name_of(sample)}: {name} of {kind} are of {values.shape}, expected one row of {width} for each of '
                f'{number} masks'
            )
        columns[name] = values.reshape(number, width).astype(float)
    if 'scores' not in instances:
        columns['scores'][:] = 1
    return Roofs(polygons, columns['offsets'], columns['heights_m'][:, 0], columns['scores'][:, 0]), shape


def _outlines(masks: Any) -> tuple[np.ndarray, tuple[int, int]]:
    """Polygons of masks as mmdet has them, as polygons or as pixels; and the image's height and width."""
    if isinstance(getattr(masks, 'masks', None), list):  # PolygonMasks
        return _of_rings(masks.masks), (masks.height, masks.width)
    pixels = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else array(masks)
    outlines = np.empty(len(pixels), dtype=object)
    outlines[:] = [mask_outline(mask) for mask in np.asarray(pixels, bool)]
    return outlines, pixels.shape[1:]


def _of_rings(instances: list[list[np.ndarray]]) -> np.ndarray:
    """What each instance's rings [x1, y1, …] cover together, as COCO has it; those without area are empty."""
    outlines = np.empty(len(instances), dtype=object)
    for number, rings in enumerate(instances):
        parts = [shapely.Polygon(np.reshape(ring, (-1, 2))) for ring in rings if len(ring) >= 6]
        mended = mend_outlines(np.array([*parts, None], dtype=object))[0]
        outlines[number] = shapely.union_all(mended)
    return outlines
