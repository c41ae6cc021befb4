"""Ids of COCO annotation files: of any JSON type in the file, integers that evaluation can work with afterwards."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .annotation_findings import (
    AS_TEXT,
    COPY,
    NEW_IDS,
    NEW_IMAGE_IDS,
    SAME_CATEGORY,
    SAME_FILE,
    SAME_IMAGE,
    SAME_OBJECT,
    Findings,
)

Id = int | str
INTEGER = re.compile(r'\s*[+-]?[0-9]{1,18}\s*')


def as_id(value: Any) -> Id | None:
    """An id as integer where it is one, written as number or text; else as text; None for what names nothing.

    Args:
        value: What a JSON file has for it.
    """
    if type(value) is int:  # no bool
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        return int(value) if INTEGER.fullmatch(value) else value.strip() or None
    return None


def numbered(ids: Sequence[Any], lowest: int) -> list[int]:
    """The ids as they are if they are different integers of 64 bits, else the numbers from 1 on.

    Args:
        ids: As `as_id` gives them.
        lowest: The lowest one that will do. COCO's evaluation takes an annotation with id 0 or less as not found.
    """
    if all(type(one) is int and lowest <= one < 2**63 for one in ids) and len(set(ids)) == len(ids):
        return list(ids)
    return list(range(1, len(ids) + 1))


def unite_categories(categories: list[dict[str, Any]], findings: Findings) -> tuple[list[dict[str, Any]], dict]:
    """Give each category a name and an id of its own.

    Args:
        categories: Of the file.
        findings: Receives what is merged.

    Returns:
        The categories, changed copies; and by each id of the file, as `as_id` gives it, the id that counts.

    Raises:
        ValueError: An id names nothing or two categories, or a name is no text.
    """
    by_name: dict[str, dict[str, Any]] = {}
    names: dict[Id, str] = {}
    for category in categories:
        identifier, name = as_id(category['id']), category['name']
        if isinstance(name, int | float) and not isinstance(name, bool):
            name = str(name)
        if identifier is None or not isinstance(name, str) or not name:
            raise ValueError(f'{findings.path}: a category needs a number or text as "id" and as "name": {category}')
        if names.setdefault(identifier, name) != name:
            raise ValueError(
                f'{findings.path}: category id {identifier!r} has two names, {names[identifier]!r} and {name!r}. Give '
                'each category an id of its own'
            )
        if by_name.setdefault(name, category | {'name': name}).get('id') != category['id']:
            findings.add(SAME_CATEGORY, f'{name!r} (ids {by_name[name]["id"]!r} and {category["id"]!r})')
    united = list(by_name.values())
    for category, number in zip(united, numbered([as_id(one['id']) for one in united], -(2**63)), strict=True):
        _renumber(category, number)
    ids = {name: category['id'] for name, category in by_name.items()}
    return united, {identifier: ids[name] for identifier, name in names.items()}


def unite_images(images: list[dict[str, Any]], findings: Findings) -> tuple[list[dict[str, Any]], dict]:
    """Give each image an id of its own.

    Args:
        images: Of the file.
        findings: Receives what is renumbered, merged or doubtful.

    Returns:
        The images; and by each id of the file, as `as_id` gives it, the image.

    Raises:
        ValueError: An id names nothing, or two pictures.
    """
    by_id: dict[Id, dict[str, Any]] = {}
    for image in images:
        identifier = as_id(image['id'])
        if identifier is None:
            raise ValueError(f'{findings.path}: an image needs a number or text as "id": {str(image)[:200]}')
        other = by_id.setdefault(identifier, image)
        if other is not image:
            _check_same(other, image, findings.path)
            findings.add(SAME_IMAGE, image['file_name'])
    united = list(by_id.values())
    for image, number in zip(united, numbered(list(by_id), -(2**63)), strict=True):
        if isinstance(image['id'], str):
            findings.add(NEW_IMAGE_IDS if isinstance(as_id(image['id']), str) else AS_TEXT, f'image id {image["id"]!r}')
        _renumber(image, number)
    for name, number in Counter(image['file_name'] for image in united).items():
        if number > 1:
            findings.add(SAME_FILE, name)
    return united, by_id


def _check_same(one: dict[str, Any], other: dict[str, Any], path: Path) -> None:
    keys = ('file_name', 'width', 'height')
    if any(one[key] != other[key] for key in keys):
        raise ValueError(
            f'{path}: image id {one["id"]!r} stands for both {one["file_name"]!r} ({one["width"]}x{one["height"]}) and '
            f'{other["file_name"]!r} ({other["width"]}x{other["height"]}), so that it is unclear which objects belong '
            'to which. Files that are joined need ids that differ; make the file anew'
        )


def _renumber(entry: dict[str, Any], number: int) -> None:
    """Give an entry another id; the one of the file is kept for what is written."""
    if type(entry['id']) is not int or entry['id'] != number:
        entry['id_in_file'], entry['id'] = entry['id'], number


class Objects:
    """The objects of a file so far, to notice one that is listed again under another id.

    Args:
        findings: Receives those.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self._seen: dict[tuple, tuple[dict[str, Any], Any]] = {}

    def add(self, one: dict[str, Any], mask: Any) -> bool:
        """Add an object, unless one with its image, category, box and mask is there.

        Two that have the same id as well are left to `unite_annotations`.

        Args:
            one: With a box, and ids of image and category that count.
            mask: As the file has it.

        Returns:
            Whether it is new.
        """
        looks = (one['image_id'], one['category_id'], one['iscrowd'], *one['bbox'])
        entry = (one, mask or None)
        number = 0
        while (other := self._seen.setdefault((looks, number), entry)) is not entry:
            if other[1] == entry[1] and ('id' not in one or one['id'] != other[0].get('id')):
                self.findings.add(COPY, f'id {one.get("id")!r} (as {other[0].get("id")!r})')
                return False
            number += 1
        return True


def unite_annotations(annotations: list[dict[str, Any]], findings: Findings) -> list[dict[str, Any]]:
    """Give each annotation a positive id of its own; ids that are so already stay.

    Args:
        annotations: With or without ids.
        findings: Receives those that are numbered anew, or are the same.

    Returns:
        The annotations, of those that repeat an id, an image, a category and a box the first.
    """
    ids = [one.get('id') for one in annotations]
    if numbered(ids, 1) == ids:
        return annotations
    by_content: dict[tuple, dict[str, Any]] = {}
    for one in annotations:
        key = (repr(one['id']), one['image_id'], one['category_id'], *one['bbox']) if 'id' in one else (id(one),)
        if by_content.setdefault(key, one) is not one:
            findings.add(SAME_OBJECT, f'id {one["id"]!r}')
    united = list(by_content.values())
    counts = Counter(repr(one.get('id')) for one in united)
    for one, number in zip(united, numbered([one.get('id') for one in united], 1), strict=True):
        identifier = one.get('id')
        if type(identifier) is not int or identifier < 1 or counts[repr(identifier)] > 1:
            findings.add(NEW_IDS, repr(identifier))
        one['id'] = number
    return united
