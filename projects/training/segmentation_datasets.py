"""Cityscapes and ADE20K as users have them on disk, checked and surviving bad files."""

import contextlib
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.fileio import list_dir_or_file
from mmengine.logging import print_log
from mmengine.registry import DATASETS, TRANSFORMS
from mmseg.datasets import ADE20KDataset, BaseSegDataset, CityscapesDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from projects.pixels.decoding import UnreadableImageError
from projects.storage.image_errors import PILLOW_ERRORS

from .annotations import require_data
from .datasets import SurvivingDataset
from .decoded_files import DecodedFiles
from .image_sizes import EXCHANGES_SIDES, ORIENTATION
from .label_survey import IGNORED, UNKNOWN, check_labels, survey_labels, unknown_values

# Train id of each Cityscapes id that has one (cityscapesScripts, helpers/labels.py); the ids 0 to 33 without are void.
CITYSCAPES_TRAIN_IDS = {
    label_id: train_id
    for train_id, label_id in enumerate((7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33))
}
LABEL_IDS = dict.fromkeys((*range(34), 255), IGNORED) | CITYSCAPES_TRAIN_IDS


@TRANSFORMS.register_module()
class LoadSegmentation(LoadAnnotations):
    """mmseg's LoadAnnotations that recognises every bad label map, and maps all labels through one table.

    An image that comes without a label map, as from mmseg's `inference_model`, stays without one.
    In a sample marked `unreadable`, which stands in for a bad one, a bad label map is replaced by ignored labels.

    Args:
        keep_mib: Decoded label maps that stay in memory, in MiB for each process.
        **kwargs: Of mmseg's `LoadAnnotations`.

    Raises:
        UnreadableImageError: The label map is absent, truncated, of another size than the image, has several channels
            or holds values that the data set does not know; names the file and what is wrong.
    """

    def __init__(self, *, keep_mib: float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decoded = DecodedFiles(keep_mib)

    def _load_seg_map(self, results: dict) -> None:
        if 'seg_map_path' not in results:
            return
        path = results['seg_map_path']
        labels = self.decoded.get(path)
        if labels is None:
            try:
                labels = self._read(path, results['ori_shape'][:2], results['label_lookup'])
                self.decoded.put(path, labels)
            except UnreadableImageError:
                if not results.get('unreadable', False):
                    raise
                labels = np.full(results['ori_shape'][:2], IGNORED, np.uint8)
        results['gt_seg_map'] = labels
        results['seg_fields'].append('gt_seg_map')

    @staticmethod
    def _read(path: str, shape: tuple[int, int], lookup: np.ndarray) -> np.ndarray:
        """Class indices of a label map of a shape (H, W)."""
        values = read_label_map(path, shape)
        mapped = cv2.LUT(values, lookup)
        if (mapped == UNKNOWN).any():
            raise UnreadableImageError(f'{path}: {unknown_values(np.bincount(values.ravel(), minlength=256), lookup)}')
        return mapped


def read_label_map(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Read the values of a label map, uint8 of the shape (H, W) that its image has.

    Raises:
        UnreadableImageError: It is absent, broken or of another size, or has several channels or more than 8 bits.
    """
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except PILLOW_ERRORS as error:
        raise UnreadableImageError(f'{path}: {error}') from error
    if values.dtype != np.uint8 or values.shape != shape:
        cause = ''
        if values.ndim == 3:
            cause = '. Colours must be turned into the indices of their classes'
        elif values.shape == shape[::-1]:
            cause = '. It lies on its side: the image is turned by its EXIF tag, perhaps'
        raise UnreadableImageError(
            f'{path}: a label map must hold one 8-bit value per pixel of its image of {shape}; this one is '
            f'{values.dtype} of {values.shape}{cause}'
        )
    return values


def decoded_size(path: str) -> tuple[int, int]:
    """Height and width of an image as it is decoded: turned as its EXIF tag says.

    Raises:
        UnreadableImageError: The file is absent or no image.
    """
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ORIENTATION, 1) if image.format in ('JPEG', 'MPO') else 1
            return image.size if orientation >= EXCHANGES_SIDES else image.size[::-1]
    except PILLOW_ERRORS as error:
        raise UnreadableImageError(f'{path}: {error}') from error


class CheckedSegmentationDataset(SurvivingDataset, BaseSegDataset):
    """mmseg's data set of image and label files that are checked first.

    An image without a label map is left out of training and evaluation, and named. In evaluation, an image that cannot
    be read is scored as if it were black, and one whose label map cannot be read is not scored. Before anything is
    trained, label maps spread over the set are read: see `label_survey`.

    Args:
        source: Where the data set can be had; quoted when it is missing.

    Raises:
        FileNotFoundError: The folder of the images or of the label maps is missing or has none.
        ValueError: More than `max_unreadable_share` of the images have no label map or, of those looked at, one that
            cannot be used; or no pixel has a label.
    """

    seg_map_suffix: str

    def __init__(self, *args: Any, source: str = '', **kwargs: Any) -> None:
        self.source = source
        super().__init__(*args, **kwargs)

    def labels(self) -> dict[int, int]:
        """Class index, or 255 for ignored, of each value that a label map may hold; of all classes on disk."""
        first = int(self.reduce_zero_label)  # value of the first class
        return {0: IGNORED, 255: IGNORED} | {first + index: index for index in range(len(self.METAINFO['classes']))}

    def label_files(self) -> set[Path]:
        """All label maps below their folder, found as mmseg finds the images."""
        folder = self.data_prefix['seg_map_path']
        names = list_dir_or_file(folder, list_dir=False, suffix=self.seg_map_suffix, recursive=True)
        return {Path(folder, name) for name in names}

    def other_labels(self) -> dict[str, dict[int, int]]:
        """`labels` by other rules in use for such data, by what to do if one of them is right."""
        first = 1 - int(self.reduce_zero_label)
        options = [f'{split}_dataloader.dataset.reduce_zero_label={bool(first)}' for split in ('train', 'val')]
        remedy = f'They look as if classes were counted from {first}. If so: --cfg-options {" ".join(options)}'
        return {
            remedy: {0: IGNORED, 255: IGNORED}
            | {first + index: index for index in range(len(self.METAINFO['classes']))}
        }

    def holds_255(self) -> bool:
        """Whether label maps of this kind hold 255."""
        return not self.reduce_zero_label  # the ignored value is 0

    def full_init(self) -> None:
        if self._fully_initialized:
            return
        super().full_init()
        self.label_lookup = self._lookup(self.labels())
        self.survey()

    def survey(self) -> None:
        """Look at label maps, and at the sizes of their images.

        Raises:
            ValueError: Too many cannot be used, or no pixel has a label.
        """
        images = {info['seg_map_path']: info['img_path'] for info in map(super().get_data_info, range(len(self)))}
        others = {remedy: self._lookup(labels) for remedy, labels in self.other_labels().items()}

        def read(path: str) -> np.ndarray:
            try:
                shape = decoded_size(images[path])
            except UnreadableImageError:  # an image has its turn when it is loaded
                shape = decoded_size(path)
            return read_label_map(path, shape)

        found = survey_labels(images, read, self.label_lookup)
        name = self.data_prefix['seg_map_path']
        check_labels(found, self.label_lookup, others, self.holds_255(), self.max_unreadable_share, name)

    def _lookup(self, labels: dict[int, int]) -> np.ndarray:
        """Labels as a table of all 256 values."""
        lookup = np.full(256, UNKNOWN, np.uint8)
        for value, index in labels.items():
            lookup[value] = (self.label_map or {}).get(index, index)
        return lookup

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """One entry of the data list, with the table that maps its label values to class indices."""
        return super().get_data_info(idx) | {'label_lookup': self.label_lookup}

    def load_data_list(self) -> list[dict]:
        for kind, name in (('images', 'img_path'), ('label maps', 'seg_map_path')):
            require_data(Path(self.data_prefix[name]), f'folder of {kind}', self.source)
        label_files = self.label_files()
        data_list = super().load_data_list()
        for files, root, suffix in (
            (data_list, self.data_prefix['img_path'], self.img_suffix),
            (label_files, self.data_prefix['seg_map_path'], self.seg_map_suffix),
        ):
            if not files:
                raise FileNotFoundError(f'No *{suffix} below {Path(root).absolute()}; data/README.md shows the layout')
        complete = [info for info in data_list if Path(info['seg_map_path']) in label_files]
        if len(complete) < len(data_list):
            absent = [info['seg_map_path'] for info in data_list if Path(info['seg_map_path']) not in label_files]
            message = f'{len(absent)} of {len(data_list)} label maps do not exist: {absent[:5]}'
            if len(absent) > self.max_unreadable_share * len(data_list):
                raise ValueError(
                    f'{message}; more than the allowed share of {self.max_unreadable_share:.0%}. {self._remedy()}'
                )
            print_log(message, logger='current', level=logging.WARNING)
        return complete

    def _image_size(self, info: dict[str, Any]) -> tuple[int, int]:
        for path in (info['img_path'], info['seg_map_path']):  # the label map may be of a wrong size
            with contextlib.suppress(*PILLOW_ERRORS), Image.open(path) as image:
                return image.height, image.width
        return 64, 64


@DATASETS.register_module()
class CheckedCityscapesDataset(CheckedSegmentationDataset, CityscapesDataset):
    """mmseg's CityscapesDataset that needs no converted labels: without `labelTrainIds` it reads `labelIds`.

    Arguments and errors: see `CheckedSegmentationDataset`.
    """

    def label_files(self) -> set[Path]:
        files = super().label_files()
        if not files:
            self.seg_map_suffix = self.seg_map_suffix.replace('labelTrainIds', 'labelIds')
            files = super().label_files()
        return files

    def labels(self) -> dict[int, int]:
        return LABEL_IDS if self._reads_label_ids() else super().labels()

    def other_labels(self) -> dict[str, dict[int, int]]:
        if self._reads_label_ids():
            return {'They look like train ids. If so, name the files *_labelTrainIds.png': super().labels()}
        return {'They look like label ids. If so, name the files *_labelIds.png, which are converted here': LABEL_IDS}

    def holds_255(self) -> bool:
        return not self._reads_label_ids()

    def _reads_label_ids(self) -> bool:
        return self.seg_map_suffix.endswith('labelIds.png')


@DATASETS.register_module()
class CheckedADE20KDataset(CheckedSegmentationDataset, ADE20KDataset):
    """mmseg's ADE20KDataset, 150 classes and the ignored 0. Arguments and errors: see `CheckedSegmentationDataset`."""
