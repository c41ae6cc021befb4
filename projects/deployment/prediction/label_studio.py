"""Detections as tasks of Label Studio, with which annotators begin (https://labelstud.io/guide/predictions)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
import shapely
from pycocotools import mask as coco_masks

from projects.storage.atomic_files import replacing

LOCAL_FILES = '/data/local-files/?d='  # where Label Studio serves the folder that its local storage names
CONTROL, OBJECT = 'label', 'image'  # names in the labelling interface
SIMPLE_PX = 1.0  # by which an outline may leave the mask's: annotators move its corners
DECIMALS = 4  # of percent: 0.01 px of 10,000


def write_tasks(path: Path, classes: Sequence[str], images: Iterable[dict[str, Any]], model: str) -> None:
    """Write one task per image, with its detections as a prediction; holes are filled, which its polygons have not.

    Args:
        path: `.json`; it appears complete or not at all.
        classes: Names.
        images: `file_name`, `width`, `height` and `annotations` (`to_annotations`) of each; never all held.
        model: Its name, which Label Studio shows.
    """
    with replacing(path) as partial, partial.open('w', encoding='utf-8') as file:
        file.write('[')
        for number, image in enumerate(images):
            regions = [region for one in image['annotations'] for region in _regions(one, image, classes)]
            for index, region in enumerate(regions):
                region['id'] = f'{number}-{index}'
            scores = [one['score'] for one in image['annotations']]
            prediction = {'model_version': model, 'score': float(np.mean(scores)) if scores else 0.0, 'result': regions}
            task = {'data': {OBJECT: LOCAL_FILES + quote(image['file_name'])}, 'predictions': [prediction]}
            file.write(f'{"," if number else ""}\n{json.dumps(task)}')
        file.write(']\n')


def interface(classes: Sequence[str], colors: Sequence[tuple[int, int, int]], has_masks: bool) -> str:
    """The labelling interface that the tasks fit, for the settings of a project."""
    tag = 'PolygonLabels' if has_masks else 'RectangleLabels'
    labels = [
        f'    <Label value={quoteattr(name)} background="#{bytes(color).hex()}"/>'
        for name, color in zip(classes, colors, strict=True)
    ]
    head = ['<View>', f'  <Image name="{OBJECT}" value="${OBJECT}" zoom="true"/>']
    return '\n'.join([*head, f'  <{tag} name="{CONTROL}" toName="{OBJECT}">', *labels, f'  </{tag}>', '</View>', ''])


def _regions(annotation: dict[str, Any], image: dict[str, Any], classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A region for each part of an object, in percent of the image."""
    size = np.array([image['width'], image['height']])
    name = classes[annotation['category_id'] - 1]
    common = {'from_name': CONTROL, 'to_name': OBJECT, 'original_width': image['width'], 'image_rotation': 0}
    common |= {'original_height': image['height'], 'score': annotation['score']}
    if 'segmentation' not in annotation:
        left, top, width, height = annotation['bbox']
        places = np.round(100 * np.array([left, top, width, height]) / np.tile(size, 2), DECIMALS).tolist()
        value = dict(zip(('x', 'y', 'width', 'height'), places, strict=True)) | {
            'rotation': 0,
            'rectanglelabels': [name],
        }
        yield {'type': 'rectanglelabels', 'value': value, **common}
        return
    for outline in mask_outlines(coco_masks.decode(annotation['segmentation']) > 0):
        points = np.round(100 * outline / size, DECIMALS).tolist()
        yield {'type': 'polygonlabels', 'value': {'points': points, 'closed': True, 'polygonlabels': [name]}, **common}


def mask_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Outer outlines (N, 2), x first, of the parts of a mask (H, W), the largest first, simplified by `SIMPLE_PX`."""
    padded = np.pad(mask.astype(np.int8), ((1, 1), (0, 0)))
    columns, starts = np.nonzero(np.diff(padded, axis=0).T == 1)
    ends = np.nonzero(np.diff(padded, axis=0).T == -1)[1]
    whole = shapely.union_all(shapely.box(columns, starts, columns + 1, ends))
    parts = [shapely.Polygon(part.exterior) for part in shapely.get_parts(whole) if part.geom_type == 'Polygon']
    simple = [part.simplify(SIMPLE_PX) for part in sorted(parts, key=lambda part: -part.area)]
    return [shapely.get_coordinates(part.exterior)[:-1] for part in simple if not part.is_empty]
