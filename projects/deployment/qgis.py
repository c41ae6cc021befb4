"""Files that the QGIS plugin Deepness and the command line geodeep run.

Both cut a raster into overlapping square tiles, give each to an ONNX file as float32 (1, 3, S, S), RGB from 0 to 1, and
read what the file is from its metadata, every value of which is JSON. Read for this: Deepness
(https://github.com/PUTvision/qgis-plugin-deepness), geodeep 0.9.13 (https://pypi.org/project/geodeep). What they take:

- Segmentors: probabilities (1, C, S, S), of which they take the largest. One alone would say nothing, so a model of one
  logit says [1 - p, p] of background and object; where its threshold t is not 0.5, of p' = p (1 - t) / (p (1 - t) +
  (1 - p) t), Bayes' rule for other odds, which is above 0.5 where p is above t.
- Detectors: boxes (1, N, 5 + C), center, size, score and a one for the class, as YOLOv5 has them; the tools' own NMS,
  which follows, finds nothing more to suppress within a class.
- Detectors with masks, Deepness alone: (1, 4 + C + N, N) and prototypes (1, N, S', S'), as Ultralytics' segmentation
  has them; a mask is the sigmoid of a weighted sum of prototypes. Here each instance has a prototype of its own, its
  mask pasted into the tile less the threshold, of weight one: positive exactly where the mask is.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from projects.command_line import UsageError

from .model_info import INSTANCES, ModelInfo

QGIS = 'qgis'
TILE_PX = 512  # side at most, where none is asked for: what is larger needs much memory in QGIS
OVERLAP_PERCENT = 25  # half of it is cut off at each border, as far from which an eighth blended over has its weight
DETECTION_SCORE, DETECTION_IOU = 0.3, 0.5  # to begin with; people change them in QGIS
PROTOTYPES_PX = 512  # side of prototypes at most: a hundred of them are 105 MB


def for_qgis(info: ModelInfo, gsd_m: float | None) -> ModelInfo:
    """The description of a file for QGIS: of square tiles, with the size of a pixel.

    Args:
        info: Of a fixed size; the longer side counts.
        gsd_m: Ground sample distance that the network expects, in metres per pixel.

    Raises:
        ValueError: The ground sample distance is not known.
    """
    if gsd_m is None:
        raise ValueError(
            f'--for qgis: the data of {info.config} do not say how large a pixel is on the ground, which the file must '
            'tell QGIS; give it in centimetres, such as --resolution-cm 30'
        )
    side = max(info.input_size or (0, 0))
    return dataclasses.replace(info, made_for=QGIS, gsd_m=gsd_m, input_size=(side, side), batch_size=1)


def refuse_masks_in_tiles(info: ModelInfo) -> None:
    """Refuse files whose masks lie in the whole tile, to what expects them in the box of each object.

    Raises:
        UsageError: The file is one.
    """
    if info.made_for == QGIS and info.task == INSTANCES:
        raise UsageError(
            f'{info.config} was exported for QGIS, with masks as Deepness takes them; for anything else take a file '
            'exported without --for'
        )


def plugin_metadata(info: ModelInfo) -> dict[str, str]:
    """What Deepness and geodeep read from the metadata of a file; {} for files that are not made for them.

    `tile_size` is what Deepness reads, `tiles_size` what its documentation has.
    """
    if info.made_for != QGIS:
        return {}
    assert info.input_size is not None
    assert info.gsd_m is not None
    classes = info.classes
    if info.is_segmentor and info.threshold is not None and len(classes) == 1:
        classes = ('background', *classes)
    values: dict[str, Any] = {
        'model_type': 'Segmentor' if info.is_segmentor else 'Detector',
        'class_names': {str(index): name for index, name in enumerate(classes)},
        'resolution': round(100 * info.gsd_m, 4),  # cm per pixel
        'tile_size': info.input_size[0],
        'tiles_size': info.input_size[0],
        'tiles_overlap': OVERLAP_PERCENT,
        'standardization_mean': [0.0, 0.0, 0.0],  # the graph does it
        'standardization_std': [1.0, 1.0, 1.0],
    }
    if info.is_segmentor:
        values |= {'seg_thresh': 0.5 if info.threshold is not None else 0.0, 'seg_small_segment': 0}
    else:
        kind = 'YOLO_Ultralytics_segmentation' if info.task == INSTANCES else 'YOLO_v5_or_v7_default'
        values |= {'det_type': kind, 'det_conf': DETECTION_SCORE, 'det_iou_thresh': DETECTION_IOU}
    return {key: json.dumps(value) for key, value in values.items()}


def tiles_of(images: np.ndarray) -> np.ndarray:
    """What the tools make of images (B, H, W, 3) uint8: (B, 3, H, W) float32, 0 to 1."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


class QgisSession:
    """Gives what `Predictor` takes from a file for QGIS.

    Args:
        session: Tiles (1, 3, S, S) to the outputs of `QgisGraph`.
        info: Of the file.
    """

    def __init__(self, session: Callable[..., dict[str, np.ndarray]], info: ModelInfo) -> None:
        self.session, self.info = session, info

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """`probabilities` (1, C, S, S), or `boxes`, `scores`, `labels`, `image_indices` and `masks` (N, S, S) bool."""
        outputs = self.session(tiles_of(inputs[0]))
        if 'probabilities' in outputs:
            return {'probabilities': self._probabilities(outputs['probabilities'])}
        rows = outputs['detections'][0]
        if 'prototypes' in outputs:
            rows = rows.T
            scores = rows[:, 4 : 4 + len(self.info.classes)]
        else:
            scores = rows[:, 4:5] * rows[:, 5:]
        found = {
            'boxes': np.concatenate((rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2), 1),
            'scores': scores.max(axis=1, initial=0),
            'labels': scores.argmax(axis=1) if len(rows) else np.zeros(0, np.int64),
            'image_indices': np.zeros(len(rows), np.int64),
        }
        if 'prototypes' in outputs:
            found['masks'] = np.array([self._mask(one) for one in outputs['prototypes'][0]], bool).reshape(
                len(rows), *inputs[0].shape[1:3]
            )
        return found

    def _probabilities(self, channels: np.ndarray) -> np.ndarray:
        if self.info.threshold is None:
            return channels
        no, yes = channels[:, :1] * (1 - self.info.threshold), channels[:, 1:] * self.info.threshold
        return yes / (yes + no)

    def _mask(self, prototype: np.ndarray) -> np.ndarray:
        assert self.info.input_size is not None
        size = self.info.input_size
        if prototype.shape != size:
            prototype = cv2.resize(prototype, size[::-1], interpolation=cv2.INTER_LINEAR)
        return prototype >= 0
