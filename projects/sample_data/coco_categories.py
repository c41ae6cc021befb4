"""The categories of COCO 2017, see https://cocodataset.org/#explore."""

from collections.abc import Sequence
from typing import Any


def coco_categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The `categories` of an annotation file: COCO's own if it knows all classes, else these, numbered from 1."""
    ids = [number for number in range(1, 91) if number not in _UNUSED_IDS]
    pairs = [(supercategory, name) for supercategory, names in _COCO_CLASSES.items() for name in names]
    if set(classes) <= {name for _, name in pairs}:
        return [
            {'supercategory': supercategory, 'id': number, 'name': name}
            for number, (supercategory, name) in zip(ids, pairs, strict=True)
        ]
    return [{'supercategory': name, 'id': number, 'name': name} for number, name in enumerate(classes, start=1)]


_UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
_COCO_CLASSES = {
    'person': ['person'],
    'vehicle': ['bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat'],
    'outdoor': ['traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench'],
    'animal': ['bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe'],
    'accessory': ['backpack', 'umbrella', 'handbag', 'tie', 'suitcase'],
    'sports': [
        *('frisbee', 'skis', 'snowboard', 'sports ball', 'kite'),
        *('baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket'),
    ],
    'kitchen': ['bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl'],
    'food': ['banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake'],
    'furniture': ['chair', 'couch', 'potted plant', 'bed', 'dining table', 'toilet'],
    'electronic': ['tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone'],
    'appliance': ['microwave', 'oven', 'toaster', 'sink', 'refrigerator'],
    'indoor': ['book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush'],
}
