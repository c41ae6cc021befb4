"""Reading COCO annotation files that may be wrong: the one reader of training, evaluation and pictures."""

import contextlib
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets.api_wrappers import COCO
from pycocotools import mask as mask_api

from .annotation_boxes import check_boxes
from .annotation_findings import (
    AS_TEXT,
    BAD_BOX,
    FLAT_BOX,
    LEFT_OUT,
    NO_AREA,
    NO_BOX,
    NO_IMAGE,
    OUTSIDE,
    UNCLEAR_CROWD,
    Findings,
    Kind,
)
from .annotation_ids import Objects, as_id, unite_annotations, unite_categories, unite_images
from .annotation_masks import Size, as_numbers, check_mask, mask_box, run_lengths

ENTRY_KEYS = {
    'images': {'id', 'file_name', 'width', 'height'},
    'annotations': {'image_id', 'category_id'},
    'categories': {'id', 'name'},
}
FLAGS = {'': 0, '0': 0, 'false': 0, 'no': 0, '1': 1, 'true': 1, 'yes': 1}


_handed_on: dict[tuple[Any, ...], tuple[dict[str, Any], Findings]] = {}


def read_annotations(
    path: str | Path, source: str = '', masks: bool | None = True, hand_on: bool = False
) -> tuple[dict[str, Any], Findings]:
    """Read a COCO annotation file, mend what is clear and leave out what cannot be trained on or scored.

    Afterwards, ids are integers that differ (those of the file if they are so already), annotation ids are positive,
    categories have different names, numbers are numbers, `iscrowd` is 0 or 1, `area` is positive, and masks are
    polygons or run lengths that fit their image. An object whose mask is needed but cannot be used becomes a crowd of
    the pixels of its box, so that finding it is neither right nor wrong. One table in the log says what was found.

    Args:
        path: The annotation file.
        source: Where the data set can be had; quoted when the file is missing.
        masks: Whether masks are needed. If not, those that cannot be used are removed and their boxes stay; with None,
            all are removed and none is looked at.
        hand_on: Whether the next call for the same file receives these very objects, so that a metric has the records
            of the data set that was built before it. At most one file is held for that.

    Returns:
        The file's content without what is left out, in the file's order; and what was found. Entries whose id was
        changed have that of the file as `id_in_file`.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is empty, not JSON, not COCO's format, an id of an image or category stands for two, an
            annotation has a category that the file lacks, or coordinates are not in pixels.
    """
    path = Path(path)
    require_data(path, 'annotation file', source)
    key = (path.resolve(), path.stat().st_mtime_ns, path.stat().st_size, masks)
    result = _handed_on.get(key) or _read(path, masks)
    _handed_on.clear()
    if hand_on:
        _handed_on[key] = result
    return result


def forget_annotations() -> None:
    """Release what is held to be handed on."""
    _handed_on.clear()


def _read(path: Path, masks: bool | None) -> tuple[dict[str, Any], Findings]:
    content = _parse(path)
    findings = Findings(path, len(content['annotations']))
    for image in content['images']:
        _check_image(image, findings)
    content['images'], images = unite_images(content['images'], findings)
    content['categories'], categories = unite_categories(content['categories'], findings)
    _check_categories(content, categories, path)

    kept, sizes, objects = [], [], Objects(findings)
    for annotation in content['annotations']:
        mask_in_file = annotation.get('segmentation')
        image = images.get(as_id(annotation['image_id']))
        size = (0, 0) if image is None else (image['width'], image['height'])
        defect = NO_IMAGE if image is None else _defect(annotation, size, masks, findings)
        if defect is not None:
            findings.add(defect, f'id {annotation.get("id")!r}', f'({image["file_name"]})' if image else '')
        if image is None or (defect is not None and defect.outcome == LEFT_OUT):
            continue
        annotation['image_id'] = image['id']
        annotation['category_id'] = categories[as_id(annotation['category_id'])]
        if not objects.add(annotation, mask_in_file):
            continue
        kept.append(annotation)
        sizes.append(size)
    try:
        check_boxes(kept, sizes, findings)
        content['annotations'] = unite_annotations(kept, findings)
    finally:
        findings.report(len(content['images']))
    return content, findings


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'{path} is {"empty" if path.stat().st_size == 0 else "not JSON"}: {error}') from error
    required = ('images', 'annotations', 'categories')
    missing = [key for key in required if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise ValueError(
            f'{path} is not a COCO instance file: it must be an object with lists {required}, lacks {missing}'
        )
    if not content['images']:
        raise ValueError(f'{path} lists no images')
    for kind, keys in ENTRY_KEYS.items():
        for entry in content[kind]:
            if not isinstance(entry, dict) or not entry.keys() >= keys:
                raise ValueError(f'{path}: an entry of "{kind}" lacks one of {sorted(keys)}: {str(entry)[:200]}')
    return content


def _check_image(image: dict[str, Any], findings: Findings) -> None:
    """Make width and height integers."""
    name = image['file_name']
    if not isinstance(name, str) or not name:
        raise ValueError(f'{findings.path}: an image needs text as "file_name": {str(image)[:200]}')
    for key in ('width', 'height'):
        numbers = as_numbers([image[key]])
        if numbers is None or not math.isfinite(numbers[0]) or numbers[0] < 1 or numbers[0] != int(numbers[0]):
            raise ValueError(f'{findings.path}: {key} {image[key]!r} of {name!r} is no number of pixels')
        if isinstance(image[key], str):
            findings.add(AS_TEXT, f'{key} {image[key]!r} of {name}')
        image[key] = int(numbers[0])


def _check_categories(content: dict[str, Any], known: dict, path: Path) -> None:
    """Refuse annotations of categories that the file does not list."""
    unknown = Counter(
        repr(annotation['category_id'])
        for annotation in content['annotations']
        if as_id(annotation['category_id']) not in known
    )
    if unknown:
        names = {repr(category['name']) for category in content['categories']} & unknown.keys()
        raise ValueError(
            f'{path}: {unknown.total()} annotations have category ids that its "categories" do not list: '
            f'[{", ".join(sorted(unknown))}]. Add the categories or remove the annotations'
            + (f'; {", ".join(sorted(names))} is the name of a category, where its id must stand' if names else '')
        )


def _defect(annotation: dict[str, Any], size: Size, masks: bool | None, findings: Findings) -> Kind | None:
    """Mend an annotation in place; returns why it cannot be used, or None."""
    for key in ('iscrowd', 'ignore'):
        if key in annotation or key == 'iscrowd':
            flag = _flag(annotation.get(key))
            if flag is None:
                return UNCLEAR_CROWD
            annotation[key] = flag
    if masks is None:
        annotation.pop('segmentation', None)
    defect = check_mask(annotation, size, findings)
    box = as_numbers(annotation.get('bbox')) or []
    wrong = _unusable_box(box)
    if wrong is not None and defect is not None:
        return wrong
    if wrong is not None:
        left, top, right, bottom = mask_box(annotation['segmentation'], size)
        box = annotation['bbox'] = [left, top, right - left, bottom - top]
        findings.add(NO_BOX, f'id {annotation.get("id")!r}')
    if box is not annotation['bbox']:
        findings.add(AS_TEXT, f'bbox {annotation["bbox"]}')
        annotation['bbox'] = box
    left, top, width, height = box
    if left >= size[0] or top >= size[1] or left + width <= 0 or top + height <= 0:
        return OUTSIDE
    if defect is not None and masks:
        right, bottom = left + width, top + height
        annotation |= {'iscrowd': 1, 'segmentation': [[left, top, right, top, right, bottom, left, bottom]]}
    elif defect is not None:
        annotation.pop('segmentation', None)
        defect = None
    _check_area(annotation, size, findings)
    return defect


def _unusable_box(box: list[Any]) -> Kind | None:
    if len(box) != 4 or not _is_finite(box):
        return BAD_BOX
    return FLAT_BOX if min(box[2:]) <= 0 else None


def _flag(value: Any) -> int | None:
    """0 or 1 for what exporters write for it; None for anything else."""
    if isinstance(value, str):
        return FLAGS.get(value.strip().lower())
    if value is None:
        return 0
    return int(value != 0) if isinstance(value, int | float) and value == value else None


def _is_finite(values: Sequence[float]) -> bool:
    try:
        return math.isfinite(sum(values))
    except OverflowError:
        return False


def _check_area(annotation: dict[str, Any], size: Size, findings: Findings) -> None:
    """Compute an area, in pixels, that is missing or cannot be one; COCO's is that of the mask."""
    given = annotation.get('area')
    numbers = as_numbers([given])
    if numbers is not None and numbers[0] > 0 and _is_finite(numbers):
        annotation['area'] = numbers[0]
        if isinstance(given, str):
            findings.add(AS_TEXT, f'area {given!r}')
        return
    mask = annotation.get('segmentation')
    of_mask = float(mask_api.area(run_lengths(mask, size))) if mask else 0.0
    annotation['area'] = of_mask or float(annotation['bbox'][2] * annotation['bbox'][3])
    findings.add(NO_AREA, f'{given!r} of id {annotation.get("id")!r}')


def require_data(path: Path, kind: str, source: str = '') -> None:
    """Raise FileNotFoundError, saying what to do, if a file or folder of a data set is absent.

    Args:
        path: Where it should be.
        kind: 'annotation file', or 'folder of' something.
        source: Where the data set can be had.
    """
    if not (path.is_dir() if kind.startswith('folder') else path.is_file()):
        raise FileNotFoundError(
            f'No {kind} at {path.absolute()}. '
            + (f'The data can be had from {source}; ' if source else '')
            + 'data/README.md shows the layout. Another place: --cfg-options data_root=FOLDER. '
            'To try this config without its data: --sample'
        )


class IndexedAnnotations(COCO):
    """mmdet's COCO index over annotations that `read_annotations` has read.

    Args:
        content: Of the annotation file.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__(None)
        self.dataset = content
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            self.createIndex()
        self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def get_cat_ids(self, cat_names: Sequence[str] = (), sup_names: Any = (), cat_ids: Any = ()) -> list[int]:
        """Ids of the named categories in the order of the names; mmdet keeps the file's order and so swaps labels."""
        if not cat_names:
            return super().get_cat_ids(cat_names, sup_names, cat_ids)
        return category_ids(self.dataset, cat_names)


def category_ids(content: dict[str, Any], names: Sequence[str]) -> list[int]:
    """Ids of the named categories, in the order of the names."""
    ids = {category['name']: category['id'] for category in content['categories']}
    return [ids[name] for name in names]
