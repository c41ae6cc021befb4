"""Values that a config file has copied by the time the command line changes one of them.

`test_dataloader = val_dataloader` in a config copies what stands there when the file is read, and so do a `data_root`
in the path of an evaluator's annotations and the scales of test-time augmentation. An override of the one must reach
the others, unless they are overridden themselves or were never the same.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MISSING = object()


def with_copies(content: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Add to overrides those of what was copied from the values that they replace.

    - What is set of `val_dataloader` and `val_evaluator` is set of test's, where both were the same.
    - An evaluator's `ann_file`, and its arguments that its data set has too, follow the data set's.
    - The scales of `tta_pipeline` keep their proportion to the scale of the test.

    Args:
        content: Of the config, before it is overridden.
        options: Dotted keys and their values.

    Returns:
        The options, with those that follow from them.
    """
    followed = dict(options)
    for key, value in options.items():
        part, _, path = key.partition('.')
        twin = f'test_{part.removeprefix("val_")}.{path}'
        is_copied = part in ('val_dataloader', 'val_evaluator') and path and _at(content, key) == _at(content, twin)
        if is_copied and not _is_set(twin, options):
            followed[twin] = value
    for split in ('train', 'val', 'test'):
        followed |= _of_evaluators(content, followed, split)
    return followed | _of_augmented_scales(content, followed)


def _is_set(key: str, options: Mapping[str, Any]) -> bool:
    """Whether options set a key, a group that holds it or a part of it."""
    return any(f'{key}.'.startswith(f'{other}.') or f'{other}.'.startswith(f'{key}.') for other in options)


def _at(content: Any, key: str) -> tuple[list[Any], Any]:
    """The types of the dicts that a dotted key leads through, and the value there."""
    types: list[Any] = []
    node = content
    for name in key.split('.'):
        if isinstance(node, list | tuple) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict) and name in node:
            node = node[name]
        else:
            return types, MISSING
        if isinstance(node, dict):
            types.append(node.get('type'))
    return types, node


def _of_evaluators(content: Mapping[str, Any], options: Mapping[str, Any], split: str) -> dict[str, Any]:
    """What the evaluators of a split must be told of its data set, as far as options change it."""
    prefix = f'{split}_dataloader.dataset.'
    changed = {key.removeprefix(prefix): value for key, value in options.items() if key.startswith(prefix)}
    dataset = _at(content, prefix[:-1])[1]
    evaluators = content.get(f'{split}_evaluator')
    if not changed or not isinstance(dataset, dict) or not evaluators:
        return {}
    found = {}
    for name, evaluator in _named(evaluators, f'{split}_evaluator'):
        if 'ann_file' in evaluator and changed.keys() & {'ann_file', 'data_root'}:
            old, new = (Path(each.get('data_root') or '', each['ann_file']) for each in (dataset, dataset | changed))
            if Path(evaluator['ann_file']) == old:
                found[f'{name}.ann_file'] = str(new)
        for key in changed.keys() & evaluator.keys() - {'type', 'ann_file', 'data_root'}:
            if evaluator[key] == dataset.get(key, MISSING):
                found[f'{name}.{key}'] = changed[key]
    return {key: value for key, value in found.items() if not _is_set(key, options)}


def _named(parts: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A dict, or those in a list, with their dotted keys."""
    if isinstance(parts, dict):
        yield name, parts
    elif isinstance(parts, list | tuple):
        for index, part in enumerate(parts):
            yield from _named(part, f'{name}.{index}')


def _of_augmented_scales(content: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Scales of test-time augmentation, in proportion to a scale that options change."""
    if not content.get('tta_pipeline') or _is_set('tta_pipeline', options):
        return {}
    found = {}
    for key, new in options.items():
        old = _at(content, key)[1]
        if not key.startswith('test_dataloader.dataset.pipeline.') or not _are_sizes(old, new):
            continue
        for name, augmentation in _named(content['tta_pipeline'], 'tta_pipeline'):
            for path, transform in _named(augmentation.get('transforms'), f'{name}.transforms'):
                if _are_sizes(transform.get('scale')):
                    scale = zip(transform['scale'], new, old, strict=True)
                    found[f'{path}.scale'] = tuple(max(round(own * to / of), 1) for own, to, of in scale)
    return found


def _are_sizes(*values: Any) -> bool:
    return all(isinstance(value, list | tuple) and len(value) == 2 and min(map(_number, value)) > 0 for value in values)


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0
