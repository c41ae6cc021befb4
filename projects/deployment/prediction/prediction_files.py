"""Pictures, masks and COCO files of predictions in a folder, resumed and shared among processes."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from projects.pixels.decoding import read_image
from projects.storage.atomic_files import replacing, write_file

from ..model_info import INSTANCES, SEGMENTATION, ModelInfo
from ..predictions import Prediction, Segmentation
from ..predictor import Predictor
from .coco_results import InstanceMask, paste_masks, to_annotations, write_coco
from .drawing import draw_detections, draw_segmentation
from .fitted_images import PredictedImage, predict_each
from .image_files import InputFile
from .journal import Entry, InputJournal
from .label_studio import interface, write_tasks
from .pipeline import FailedImage
from .rasters.settings import MapSettings, PolygonSettings, RasterSettings

OVERLAYS, MASKS, COCO, SHARES = 'overlays', 'masks', 'coco', 'shares'
LABEL_STUDIO = 'label-studio'  # only where it is asked for
COCO_FILE, SHARES_FILE = 'detections.json', 'class_shares.csv'
TASKS_FILE, INTERFACE_FILE = 'label_studio.json', 'label_studio.xml'
JPEG: dict[str, Any] = {'quality': 93, 'subsampling': 0}  # text stays sharp with colours at full resolution


@dataclass(frozen=True)
class PredictionSettings:
    """What is written, and how fast.

    Attributes:
        write: Some of those that `writable` names.
        score_threshold: Detections below it are left out of everything.
        batch_size: Images of equal size that are predicted at once.
        rasters: How rasters are predicted; batch size and threshold are those above.
        polygons: Which of rasters are written; None: none.
        maps: What pages with maps say, of images and rasters; None: there are none.
    """

    write: tuple[str, ...]
    score_threshold: float = 0.3
    batch_size: int = 1
    rasters: RasterSettings = field(default_factory=RasterSettings)
    polygons: PolygonSettings | None = None
    maps: MapSettings | None = None

    def with_identity(self, identity: dict[str, Any]) -> dict[str, Any]:
        """All that results in a folder depend on, for who goes on with them: `identity`, and what is written of it."""
        return {**identity, 'write': self.write, 'score_threshold': self.score_threshold}


def writable(info: ModelInfo) -> tuple[str, ...]:
    """What can be written for a model: segmentors give shares of classes, detectors COCO files, and masks if any."""
    if info.task == SEGMENTATION:
        return OVERLAYS, MASKS, SHARES
    return (OVERLAYS, MASKS, COCO) if info.task == INSTANCES else (OVERLAYS, COCO)


@dataclass(frozen=True)
class RenderedPrediction:
    """One image's results, ready to be written.

    Attributes:
        overlay: Picture, (h, w, 3) uint8 RGB; None if none is wanted.
        mask: Labels, or numbers of instances from 1 in the order of the annotations (H, W); None if none is wanted.
        facts: `width`, `height` and `annotations` or `shares`, as JSON has them.
    """

    overlay: np.ndarray | None
    mask: np.ndarray | None
    facts: dict[str, Any]


def render(image: np.ndarray, prediction: Prediction, info: ModelInfo, write: Sequence[str]) -> RenderedPrediction:
    """Draw and describe what a model says about an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        prediction: In the image's pixels.
        info: The model.
        write: What is wanted.
    """
    height, width = image.shape[:2]
    facts: dict[str, Any] = {'width': width, 'height': height}
    if isinstance(prediction, Segmentation):
        counts = np.bincount(prediction.labels.ravel(), minlength=len(info.classes))
        facts['shares'] = np.round(counts / prediction.labels.size, 6).tolist()
        overlay = draw_segmentation(image, prediction.labels, info.classes, info.palette) if OVERLAYS in write else None
        return RenderedPrediction(overlay, prediction.labels if MASKS in write else None, facts)
    masks = paste_masks(prediction, (height, width), info.mask_threshold)
    listed = {COCO, LABEL_STUDIO} & {*write}
    facts['annotations'] = to_annotations(prediction, masks, (height, width)) if listed else []
    overlay = draw_detections(image, prediction, masks, info.classes, info.palette) if OVERLAYS in write else None
    return RenderedPrediction(overlay, instance_map(masks, (height, width)) if MASKS in write else None, facts)


def instance_map(masks: Sequence[InstanceMask] | None, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint16 numbers of instances from 1, 0 = none; where instances overlap, the better (earlier) is seen."""
    numbers = np.zeros(size, dtype=np.uint16)
    for number, (rows, columns, mask) in reversed(list(enumerate(masks or (), 1))):
        numbers[rows, columns][mask] = number
    return numbers


def predict_files(
    predictor: Predictor,
    files: Iterable[InputFile],
    journal: InputJournal,
    settings: PredictionSettings,
    done: Callable[[InputFile], None] = lambda file: None,
) -> None:
    """Predict images, and write what is wanted into the journal's folder; `merge` then makes one file of the facts.

    Args:
        predictor: The model.
        files: Images.
        journal: Takes one entry per image, whose failures are listed by `merge`.
        settings: What to write.
        done: Called after each image.

    Raises:
        OSError: A result cannot be written.
        ValueError: The model can predict none of the images.
    """
    info = predictor.info

    def finish(predicted: PredictedImage[InputFile]) -> InputFile:
        rendered = render(predicted.image, predicted.prediction, info, settings.write)
        written = []
        for kind, pixels in ((OVERLAYS, rendered.overlay), (MASKS, rendered.mask)):
            if pixels is not None:
                name = f'{kind}/{predicted.item.name}{".jpg" if kind == OVERLAYS else ".png"}'
                write_picture(journal.out / name, pixels, info)
                written.append(name)
        journal.add(predicted.item, {'files': written, **rendered.facts})
        return predicted.item

    for result in predict_each(
        predictor,
        files,
        lambda file: read_image(file.path),
        finish,
        batch_size=settings.batch_size,
        score_threshold=settings.score_threshold,
    ):
        if isinstance(result, FailedImage):
            reason = result.reason.removeprefix(f'{result.item.path}: ')
            journal.add(result.item, {'error': reason})
            result = result.item
        done(result)


def write_picture(path: Path, pixels: np.ndarray, info: ModelInfo) -> None:
    """Write RGB as it is, uint8 labels as PNG with the model's palette, and uint16 as grey PNG of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    if pixels.dtype == np.uint8 and pixels.ndim == 2:
        picture.putpalette([level for color in info.palette for level in color])
    with replacing(path) as partial:
        picture.save(partial, **(JPEG if path.suffix == '.jpg' else {}))


def merge(files: Sequence[InputFile], journal: InputJournal, info: ModelInfo, write: Sequence[str]) -> None:
    """Make one COCO file or table of all images' facts; those that failed are not in it.

    Args:
        files: Images, in the order of their identifiers.
        journal: Of all processes.
        info: The model.
        write: What is wanted.
    """
    if COCO in write:
        keys = ('file_name', 'width', 'height')
        images = ({'id': number, **{key: entry[key] for key in keys}} for number, entry in _predicted(files, journal))
        annotations = (
            {'image_id': number, **annotation}
            for number, entry in _predicted(files, journal)
            for annotation in entry['annotations']
        )
        write_coco(journal.out / COCO_FILE, info.classes, images, annotations)
    if LABEL_STUDIO in write:
        entries = (entry for _, entry in _predicted(files, journal))
        write_tasks(journal.out / TASKS_FILE, info.classes, entries, info.config or 'skyline')
        shown = interface(info.classes, info.palette, info.task == INSTANCES)
        write_file(journal.out / INTERFACE_FILE, shown)
    if SHARES in write:
        with replacing(journal.out / SHARES_FILE) as partial, partial.open('w', newline='', encoding='utf-8') as file:
            table = csv.writer(file)
            table.writerow(['image', 'width', 'height', *info.classes])
            for _, entry in _predicted(files, journal):
                table.writerow([entry['file_name'], entry['width'], entry['height'], *entry['shares']])


def _predicted(files: Sequence[InputFile], journal: InputJournal) -> Iterator[tuple[int, Entry]]:
    """Identifiers and entries of the images that were predicted."""
    return ((number, entry) for number, entry in enumerate(journal.entries(files), 1) if 'error' not in entry)
