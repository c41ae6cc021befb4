"""Values that a config file has copied by the time the command line changes one of them.

`test_dataloader = val_dataloader` in a config copies what stands there when the file is read, and so do a `data_root`
in the path of an evaluator's annotations and the scales of test-time augmentation. An override of the one, on the
command line or in a config that is based on the file, must reach the others, unless they are overridden themselves or
were never the same.
"""

import copy
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

MISSING = object()
COPIED = {'val_dataloader', 'val_evaluator', 'test_dataloader', 'test_evaluator', 'tta_pipeline'}


def with_copies_of_bases(cfg: Config) -> dict[str, Any]:
    """What a config is to have of `COPIED`: what it changes of a base's validation reaches the test, as by options.

    Args:
        cfg: Just read from its file.

    Returns:
        Those of its values that differ from those in `cfg`.
    """
    if Config._is_lazy_import(cfg.filename):  # its bases are Python modules, whose objects it changes in place
        return {}
    content = _followed(cfg.filename, cfg.to_dict())
    return {key: value for key, value in content.items() if value != cfg.get(key)}


def _followed(file: str, content: dict[str, Any]) -> dict[str, Any]:
    """The values of `COPIED` in a config file of some content."""
    base: dict[str, Any] = {}
    followed: dict[str, Any] = {}
    for path in _bases(file):
        found, its = _of_base(path, _written(path))
        base |= found
        followed |= copy.deepcopy(its)
    own = {
        key: value
        for part in COPIED & content.keys()
        for key, value in _changes(base.get(part, MISSING), content[part], part)
    }
    for key, value in with_copies(followed, own).items():
        _set(followed, key, copy.deepcopy(value))
    return followed


def _bases(file: str) -> list[str]:
    return [Config._get_cfg_path(name, file)[0] for name in Config._get_base_files(file)]


def _written(file: str) -> tuple[Any, ...]:
    """When a config file and its bases were written."""
    status = Path(file).stat()
    return status.st_mtime_ns, status.st_size, *map(_written, _bases(file))


@lru_cache
def _of_base(path: str, written: tuple[Any, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a base, and its values of `COPIED`: most configs have the same bases, which are read once."""
    found = Config.fromfile(path, import_custom_modules=False).to_dict()
    return found, _followed(path, found)


def _changes(old: Any, new: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of all that must be set below a key to make one value of another."""
    if _have_names(old) and _have_names(new) and old.keys() <= new.keys():
        for name, value in new.items():
            yield from _changes(old.get(name, MISSING), value, f'{key}.{name}')
    elif _are_steps(old) and _are_steps(new) and [step['type'] for step in old] == [step['type'] for step in new]:
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changes(one, other, f'{key}.{index}')
    elif old != new:
        yield key, new


def _have_names(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) and name.isidentifier() for name in value)


def _are_steps(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(step, dict) and 'type' in step for step in value)


def _set(content: Any, key: str, value: Any) -> None:
    *names, last = [int(name) if name.isdecimal() else name for name in key.split('.')]
    for name in names:
        content = content[name]
    content[last] = value


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
        twin = key.replace('val_', 'test_', 1)
        is_copied = part in ('val_dataloader', 'val_evaluator') and _at(content, key) == _at(content, twin)
        if not path:  # a run without validation may have a test, and the other way round
            is_copied = is_copied and bool(content.get(part) and value)
        if is_copied and not _is_set(twin, options):
            followed[twin] = value
    for split in ('train', 'val', 'test'):
        followed |= _of_evaluators(content, followed, split)
    return followed | _of_augmented_scales(content, followed)


def _is_set(key: str, options: Mapping[str, Any]) -> bool:
    """Whether options set a key, a group that holds it or a part of it."""
    return any(f'{key}.'.startswith(f'{other}.') or f'{other}.'.startswith(f'{key}.') for other in options)


def value_at(content: Any, key: str) -> Any:
    """The value that a dotted key leads to in the content of a config; MISSING if there is none."""
    return _at(content, key)[1]


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
    dataset = value_at(content, prefix[:-1])
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
        old = value_at(content, key)
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
