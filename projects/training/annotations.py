"""Reading COCO annotation files that may be wrong."""

import contextlib
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmdet.datasets.api_wrappers import COCO
from mmengine.logging import print_log

ENTRY_KEYS = {
    'images': {'id', 'file_name', 'width', 'height'},
    'annotations': {'image_id', 'category_id', 'bbox'},
    'categories': {'id', 'name'},
}


def read_annotations(path: str | Path, source: str = '') -> dict[str, Any]:
    """Read a COCO annotation file and leave out what cannot be trained on or scored.

    Left out, counted and named in one warning: annotations whose image is not in the file, whose box is not finite, has
    no area or lies wholly outside the image, and whose polygons are all unusable (fewer than three points, not finite
    or without area). Single unusable rings are dropped from polygons that have others. A missing `area` becomes that of
    the box.

    Args:
        path: The annotation file.
        source: Where the data set can be had; quoted when the file is missing.

    Returns:
        The file's content, without the annotations left out.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is empty, not JSON, not COCO's format, or an annotation has a category that the file lacks.
    """
    path = Path(path)
    require_file(path, source)
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
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

    unknown = Counter(ann['category_id'] for ann in content['annotations'])
    for category in content['categories']:
        unknown.pop(category['id'], None)
    if unknown:
        raise ValueError(
            f'{path}: {unknown.total()} annotations have category ids that its "categories" do not list: '
            f'{sorted(unknown)}. Add the categories or remove the annotations'
        )

    sizes = {image['id']: (image['width'], image['height']) for image in content['images']}
    left_out: dict[str, list] = {}
    kept = []
    for annotation in content['annotations']:
        try:
            defect = _defect(annotation, sizes)
        except TypeError:
            defect = 'values that are not numbers'
        if defect is None:
            kept.append(annotation)
        else:
            left_out.setdefault(defect, []).append(annotation.get('id'))
    content['annotations'] = kept
    if left_out:
        summary = '; '.join(f'{len(ids)} with {defect} (ids {ids[:5]})' for defect, ids in left_out.items())
        print_log(f'{path}: left out annotations: {summary}', logger='current', level=30)
    return content


def require_file(path: Path, source: str = '') -> None:
    """Raise FileNotFoundError, saying what to do, if there is no file at `path`.

    Args:
        path: An annotation file.
        source: Where the data set can be had.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'No annotation file at {path.absolute()}. '
            + (f'The data can be had from {source}; ' if source else '')
            + 'data/README.md shows the layout. Another folder: --cfg-options data_root=FOLDER. '
            'To try this config without its data: --sample'
        )


def _defect(annotation: dict[str, Any], sizes: dict[Any, tuple[int, int]]) -> str | None:
    """What makes an annotation unusable, or None; unusable rings of a usable polygon are removed from it."""
    size = sizes.get(annotation['image_id'])
    if size is None:
        return 'an image_id that "images" lacks'
    box = annotation['bbox']
    if len(box) != 4 or not math.isfinite(sum(box)):
        return 'a box that is not four finite numbers'
    left, top, width, height = box
    if width <= 0 or height <= 0 or not annotation.setdefault('area', width * height) > 0:
        return 'no area'
    if left >= size[0] or top >= size[1] or left + width <= 0 or top + height <= 0:
        return 'a box outside the image'
    rings = annotation.get('segmentation')
    if isinstance(rings, list) and rings:
        usable = [ring for ring in rings if _encloses_area(ring)]
        if not usable:
            return 'an unusable polygon'
        if len(usable) < len(rings):
            annotation['segmentation'] = usable
    return None


def _encloses_area(ring: list[float]) -> bool:
    """Whether [x0, y0, x1, y1, …] is a polygon of finite points that do not all lie on one line."""
    if len(ring) < 6 or len(ring) % 2 or not math.isfinite(sum(ring)):
        return False
    x0, y0 = ring[:2]
    offsets = [(x - x0, y - y0) for x, y in zip(ring[2::2], ring[3::2], strict=True)]
    return any(ax * by != ay * bx for (ax, ay), (bx, by) in pairwise(offsets))


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
