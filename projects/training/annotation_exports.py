"""What people have drawn in Label Studio, CVAT or tools that write COCO, as one COCO data set.

Formats: Label Studio's JSON (https://labelstud.io/guide/task_format), "CVAT for images 1.1" (XML) and COCO. Coordinates
become pixels, parts that CVAT groups one object, brushes run lengths; file names, which such tools prefix, quote and
move, those of the images that are there. What cannot be used is counted.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

from projects.pixels.run_lengths import encode_masks, encode_parts

from .annotation_masks import encloses_area, mask_box, run_lengths

UPLOAD_HASH = re.compile(r'^[0-9a-f]{8}-')  # which Label Studio puts before names of uploaded files
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
TURNED = range(5, 9)  # EXIF orientations that swap width and height


class AnnotationSet:
    """Images, categories and objects, as they are found.

    Attributes:
        skipped: What could not be used, counted.
    """

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.categories: dict[str, int] = {}
        self.annotations: list[dict[str, Any]] = []
        self.skipped: Counter[str] = Counter()

    def add_image(self, name: str, width: Any, height: Any) -> dict[str, Any]:
        """Add an image."""
        image = {'id': len(self.images) + 1, 'file_name': name, 'width': int(width or 0), 'height': int(height or 0)}
        self.images.append(image)
        return image

    def add_object(self, image: dict[str, Any], label: str, mask: Any, iscrowd: bool = False) -> None:
        """Add an object of rings in pixels (flat lists), or run lengths."""
        category = self.categories.setdefault(label, len(self.categories) + 1)
        if isinstance(mask, list) and not all(map(encloses_area, mask)):
            self.skipped['shapes that enclose nothing'] += 1
            return
        entry = {'id': len(self.annotations) + 1, 'image_id': image['id'], 'category_id': category}
        self.annotations.append(entry | {'segmentation': mask, 'iscrowd': int(iscrowd)})

    def to_coco(self) -> dict[str, Any]:
        """COCO's object."""
        sizes = {image['id']: (image['width'], image['height']) for image in self.images}
        for one in self.annotations:
            size = sizes[one['image_id']]
            left, top, right, bottom = mask_box(one['segmentation'], size)
            one['bbox'] = [left, top, right - left, bottom - top]
            one['area'] = float(mask_api.area(run_lengths(one['segmentation'], size)))
        categories = [{'id': number, 'name': name} for name, number in self.categories.items()]
        return {'images': self.images, 'categories': categories, 'annotations': self.annotations}


def read_export(path: Path, folder: Path) -> tuple[dict[str, Any], Counter[str]]:
    """Read an export.

    Args:
        path: `.json` of Label Studio or COCO, or `.xml` of CVAT.
        folder: With the images, and folders of them.

    Returns:
        COCO's object, whose file names are paths below the folder; and what could not be used, counted.

    Raises:
        FileNotFoundError: There is no such file or folder, or none of its images is there.
        ValueError: It is none of these formats.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'the folder of images {folder} does not exist')
    content = path.read_bytes()
    try:
        if content.lstrip().startswith(b'<'):
            if b'<!' in content:
                raise ValueError('it holds declarations, which CVAT does not write')
            found, skipped = _read_cvat(ElementTree.fromstring(content))  # noqa: S314 (without declarations)
        else:
            parsed = json.loads(content)
            found, skipped = (parsed, Counter[str]()) if isinstance(parsed, dict) else _read_label_studio(parsed)
        if not all(isinstance(found.get(key), list) for key in ('images', 'categories', 'annotations')):
            raise ValueError('an object without lists "images", "categories", "annotations"')
        for image in found['images']:
            if not (isinstance(image, dict) and 'id' in image and _plain_name(str(image.get('file_name') or ''))):
                raise ValueError(f'the image {image!r} has no "id" or no "file_name"')
        for kind, key in (('images', 'id'), ('annotations', 'image_id')):
            for one in found[kind]:
                if isinstance(one, dict) and isinstance(one.get(key), list | dict):
                    raise ValueError(f'{one[key]!r} is no {key}; expected a number')
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, ElementTree.ParseError) as error:
        raise ValueError(
            f"{path} is no export that can be read ({error!r}); expected Label Studio's JSON (not JSON-MIN), CVAT for "
            'images 1.1, or COCO'
        ) from error
    skipped += _find_images(found, folder, path)
    return found, skipped


def _read_label_studio(tasks: list[dict[str, Any]]) -> tuple[dict[str, Any], Counter[str]]:
    found = AnnotationSet()
    for task in tasks:
        drawn = [one for one in task['annotations'] if not one.get('was_cancelled')]
        regions = drawn[0]['result'] if drawn else []
        if not drawn:
            found.skipped['tasks that nobody has finished'] += 1
            continue
        sized = [one for one in regions if one.get('original_width')]
        name = next((value for value in task['data'].values() if _is_image_name(value)), None)
        if name is None:
            found.skipped['tasks without an image'] += 1
            continue
        width, height = (sized[0]['original_width'], sized[0]['original_height']) if sized else (0, 0)
        image = found.add_image(name, width, height)
        for region in regions:
            kind, value = region.get('type', ''), region.get('value', {})
            labels = value.get(kind) or []
            if not labels:
                found.skipped['regions without a label'] += 1
            elif region.get('image_rotation'):
                found.skipped['regions on images that were rotated in the tool'] += 1
            elif kind == 'polygonlabels':
                points = np.array(value['points'], float) * [width / 100, height / 100]
                found.add_object(image, labels[0], [points.ravel().tolist()])
            elif kind == 'rectanglelabels':
                left, top, wide, high = (value[key] / 100 for key in ('x', 'y', 'width', 'height'))
                place = left * width, top * height, wide * width, high * height
                corners = _corners(*place, value.get('rotation') or 0, around_center=False)
                found.add_object(image, labels[0], [corners])
            elif kind == 'brushlabels':
                mask = decode_brush(value['rle']).reshape(height, width, 4)[..., 3] > 0
                found.add_object(image, labels[0], encode_masks(mask[None])[0])
            else:
                found.skipped[f'regions of the type {kind!r}'] += 1
    return found.to_coco(), found.skipped


def decode_brush(numbers: list[int]) -> np.ndarray:
    """Values of RGBA pixels, flat, of Label Studio's run lengths (https://docs.thi.ng/umbrella/rle-pack).

    A header (32 bits: how many values; 5: their size - 1; 4 x 4: sizes of lengths - 1), then for each run one bit
    whether its values are equal, 2 bits which size its length has, the length - 1, and the value or values.
    """
    bits = ''.join(f'{number:08b}' for number in numbers)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    total, size = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values, done = np.zeros(total, np.uint8), 0
    while done < total:
        is_equal = read(1)
        end = done + 1 + read(sizes[read(2)])
        if is_equal:
            values[done:end] = read(size)
        else:
            values[done:end] = [read(size) for _ in range(done, end)]
        done = end
    return values


def _read_cvat(root: ElementTree.Element) -> tuple[dict[str, Any], Counter[str]]:
    found = AnnotationSet()
    for name in root.findall('.//meta//label/name'):
        found.categories.setdefault(str(name.text), len(found.categories) + 1)
    for element in root.findall('image'):
        image = found.add_image(element.attrib['name'], element.get('width'), element.get('height'))
        groups: dict[tuple[str, str], list[list[float]]] = {}
        for shape in sorted(element, key=lambda one: one.tag == 'box'):
            label, group = shape.get('label', ''), shape.get('group_id') or '0'
            crowd = any(one.get('name') == 'is_crowd' and one.text == 'true' for one in shape.findall('attribute'))
            if shape.tag == 'mask':
                groups[label, group] = []
                found.add_object(image, label, _cvat_mask(shape, image), crowd)
                continue
            if shape.tag == 'box' and group != '0' and (label, group) in groups:  # of an object that is there
                continue
            if shape.tag == 'polygon':
                ring = [float(value) for value in re.split('[,;]', shape.attrib['points'])]
            elif shape.tag == 'box':
                left, top, right, bottom = (float(shape.attrib[key]) for key in ('xtl', 'ytl', 'xbr', 'ybr'))
                turn = float(shape.get('rotation') or 0)
                ring = _corners(left, top, right - left, bottom - top, turn, around_center=True)
            else:
                found.skipped[f'shapes of the type {shape.tag!r}'] += 1
                continue
            rings = groups.get((label, group)) if group != '0' else None
            if rings and encloses_area(ring):
                rings.append(ring)
                continue
            groups[label, group] = rings = [ring]
            found.add_object(image, label, rings, crowd)
    return found.to_coco(), found.skipped


def _cvat_mask(shape: ElementTree.Element, image: dict[str, Any]) -> dict[str, Any]:
    """Run lengths along the rows of a box, background first."""
    left, top, width, height = (int(float(shape.attrib[key])) for key in ('left', 'top', 'width', 'height'))
    counts = [int(count) for count in shape.attrib['rle'].split(',')]
    part = np.repeat(np.arange(len(counts)) % 2, counts).reshape(height, width)
    place = slice(top, top + height), slice(left, left + width)
    return encode_parts([(*place, part)], (image['height'], image['width']))[0]


def _corners(left: float, top: float, width: float, height: float, turn_deg: float, around_center: bool) -> list[float]:
    """A rectangle's corners, turned clockwise around its centre (CVAT) or its upper left corner (Label Studio)."""
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    pivot = np.array([width, height]) / 2 if around_center else np.zeros(2)
    cos, sin = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    turned = (corners - pivot) @ np.array([[cos, sin], [-sin, cos]]) + pivot + [left, top]
    return turned.ravel().tolist()


def _is_image_name(value: Any) -> bool:
    return isinstance(value, str) and _plain_name(value).lower().endswith(SUFFIXES)


def _plain_name(name: str) -> str:
    """A path out of an address, with what is quoted in it, or of a file."""
    parts = urlsplit(name)
    if 'd' in (query := parse_qs(parts.query)):  # of Label Studio's local storage
        return query['d'][0]
    return unquote(parts.path if parts.scheme or parts.query else name).replace('\\', '/').lstrip('/')


def _names(name: str) -> Iterator[str]:
    """Under which an image may be found, the surest first: its path, shorter ends of it, without what uploads add."""
    parts = PurePosixPath(_plain_name(name)).parts
    yield from ('/'.join(parts[index:]) for index in range(len(parts)))
    if UPLOAD_HASH.match(parts[-1]):
        yield UPLOAD_HASH.sub('', parts[-1])


def _find_images(content: dict[str, Any], folder: Path, path: Path) -> Counter[str]:
    """Give images the names that they have below a folder, and sizes; leave out those that are not there."""
    places: dict[str, list[str]] = {}
    for file in sorted(folder.rglob('*')):
        if file.suffix.lower() in SUFFIXES:
            parts = file.relative_to(folder).parts
            for index in range(len(parts)):
                end = '/'.join(parts[index:])
                for key in {end, re.sub(r'[^\w./-]', '_', end)}:  # uploads replace blanks
                    places.setdefault(key, []).append('/'.join(parts))
    skipped: Counter[str] = Counter()
    kept, lost = [], []
    for image in content['images']:
        there = next((places[name] for name in _names(str(image['file_name'])) if name in places), [])
        if len(there) != 1:
            skipped['images of a name that several have' if there else 'images that are not in the folder'] += 1
            lost.append(image)
            continue
        try:
            with Image.open(folder / there[0]) as opened:
                turned = opened.getexif().get(0x0112) in TURNED
                size = opened.size[::-1] if turned else opened.size
        except OSError:
            skipped['images that cannot be read'] += 1
            lost.append(image)
            continue
        stated = (int(image.get('width') or 0), int(image.get('height') or 0))
        if 0 not in stated and stated != size:
            reason = (
                'images that were annotated as they are stored, not upright' if turned else 'images of another size'
            )
            skipped[reason] += 1
            lost.append(image)
            continue
        kept.append(image | {'file_name': there[0], 'width': size[0], 'height': size[1]})
    if not kept:
        raise FileNotFoundError(
            f'none of the {len(lost)} images of {path} can be used ({", ".join(skipped) or "it lists none"}), such as '
            f'{lost[0]["file_name"] if lost else "none"!r}; --images {folder} is the folder of the images'
        )
    ids = {image['id'] for image in lost}
    content['images'] = kept
    content['annotations'] = [
        one for one in content['annotations'] if not isinstance(one, dict) or one.get('image_id') not in ids
    ]
    return skipped
