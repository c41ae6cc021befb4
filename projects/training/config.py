"""From a config file and a command line to one checked Config."""

import difflib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from pprint import pformat
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from projects.command_line import UsageError
from projects.storage.locations import ROOT, locate

from .config_copies import with_copies, with_copies_of_bases
from .run_values import whose_part
from .runner import Runner

RUNNER_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    *(
        'auto_scale_lr',
        'custom_imports',
        'data_root',
        'published',
        'tta_model',
        'tta_pipeline',
        'model_wrapper_cfg',
        'find_unused_parameters',
        'sync_bn',
        'compile',
    ),
}


class MissingConfigError(UsageError, FileNotFoundError):
    """There is no config of that name."""


class QuicklyPrintedConfig(Config):
    """mmengine's Config, laid out in milliseconds; mmengine prints four times per run, at seconds each."""

    @property
    def pretty_text(self) -> str:
        """The config as Python, one assignment for each key."""
        return ''.join(f'{key} = {pformat(value, width=120)}\n' for key, value in sorted(self.to_dict().items()))


def load_config(
    path: str | Path, options: dict[str, Any] | None = None, prepare: Callable[[Config], None] | None = None
) -> Config:
    """Read a config file and merge `--cfg-options` into it.

    Relative paths are looked for in the current folder first and in the project's folder then, so that every command
    works from any folder. `data_root` in `options` moves the data sets and their evaluators together; what is set of
    validation is set of the test as well, where the config has them alike (see `config_copies`).

    Args:
        path: A config file.
        options: Dotted keys and values, as mmengine's DictAction gives them.
        prepare: Changes the config in place before the options are merged, e.g. to use sample data.

    Returns:
        The merged config, paths made absolute.

    Raises:
        MissingConfigError: There is no such config; similar ones are named.
        UsageError: It has no model, or an option has no effect, looks like a misspelling or is of another kind than
            what it replaces.
        ValueError: The file cannot be read as a config, or a key in it looks like a misspelling.
    """
    file = locate(path)
    if not file.is_file():
        names = [str(config.relative_to(ROOT)) for config in sorted((ROOT / 'configs').rglob('*.py'))]
        similar = difflib.get_close_matches(str(path), names, n=3, cutoff=0.3)
        raise MissingConfigError(f'No config {path} in {Path.cwd()} or {ROOT}. Did you mean one of {similar}?')
    cfg = read_config(file)
    cfg = QuicklyPrintedConfig(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename)
    _check_keys(cfg.keys(), RUNNER_KEYS | {'train_pipeline', 'test_pipeline'}, f'{file.name}: ')
    if not isinstance(cfg.get('model'), dict):
        raise UsageError(f'{file} describes no model{whose_part(file)}')
    if prepare is not None:
        prepare(cfg)
    data_root = cfg.get('data_root')
    if options:
        options = _with_places(options)
        cfg.merge_from_dict(with_copies(cfg.to_dict(), _checked_options(cfg, options)))
    for part in _data_parts(cfg):
        for key in ('data_root', 'ann_file'):
            value = part.get(key)
            if not isinstance(value, str) or (key == 'ann_file' and 'data_root' in part):
                continue
            if data_root and Path(value).is_relative_to(data_root):
                value = Path(cfg.data_root) / Path(value).relative_to(data_root)
            part[key] = str(locate(value))
    return cfg


def _with_places(options: dict[str, Any]) -> dict[str, Any]:
    """Options whose files and folders are text, also where their names look like numbers."""
    places = {
        key: value for key, value in options.items() if key.split('.')[-1] in ('data_root', 'work_dir', 'load_from')
    }
    for key, value in places.items():
        if isinstance(value, list | tuple | dict) or (value is None and key == 'data_root'):
            raise UsageError(f'--cfg-options {key}={value}: expected one path, without commas')
    return options | {key: str(value) for key, value in places.items() if value is not None}


def read_config(file: Path) -> Config:
    """Read a config file, whatever may be wrong with it.

    Raises:
        OSError: The file, or one that it is based on, is absent or of another kind.
        ImportError: A module that it imports is absent.
        ValueError: Its code fails.
    """
    if file.suffix not in ('.py', '.json', '.yaml', '.yml'):
        raise UsageError(f'{file} is no config: expected a file that ends in .py')
    try:
        cfg = Config.fromfile(file)
        followed = with_copies_of_bases(cfg)
    except (OSError, ImportError):
        raise
    except Exception as error:  # it is a program
        raise ValueError(f'{file} cannot be read as a config: {type(error).__name__}: {error}') from error
    for key, value in followed.items():
        cfg[key] = value
    if followed:
        print_log(f'{file}: what it sets of validation holds for {", ".join(sorted(followed))} too', logger='current')
    return cfg


def _data_parts(cfg: Config) -> Iterator[ConfigDict]:
    """The dicts of a config that name data on disk."""
    for split in ('train', 'val', 'test'):
        evaluators = cfg.get(f'{split}_evaluator')
        parts = evaluators if isinstance(evaluators, list) else [evaluators]
        for part in [(cfg.get(f'{split}_dataloader') or {}).get('dataset'), *parts]:
            if isinstance(part, dict):
                yield part


def _check_keys(given: Any, known: Any, where: str) -> None:
    for key in given:
        similar = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        if key not in known and similar:
            raise (UsageError if where.startswith('--') else ValueError)(
                f'{where}unknown key {key!r}; did you mean {similar[0]!r}?'
            )


def _checked_options(cfg: Config, options: dict[str, Any]) -> dict[str, Any]:
    """Options of which each has an effect and is of the kind of what it replaces.

    Misspelt keys are refused, and variables of the config file, which it has used already.
    """
    content = cfg.to_dict()
    checked = dict(options)
    for option, value in options.items():
        first = option.split('.')[0]
        if first in cfg and first not in RUNNER_KEYS:
            raise UsageError(
                f'--cfg-options {option}: {first!r} is a variable of the config file, which has been used by now. Set '
                'what was made of it, e.g. train_dataloader.dataset.pipeline.2.scale'
            )
        node: Any = content
        for depth, key in enumerate(option.split('.')):
            if isinstance(node, list | tuple) and re.fullmatch(r'\d+', key) and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            elif isinstance(node, dict) and (depth > 0 or key in RUNNER_KEYS):  # a new key, unless misspelt
                _check_keys(
                    [key], node.keys() - RUNNER_KEYS if depth == 0 else node.keys(), f'--cfg-options {option}: '
                )
                break
            else:
                known = list(node) if isinstance(node, dict) else [str(index) for index in range(len(node))]
                similar = difflib.get_close_matches(key, known, n=3)
                raise UsageError(f'--cfg-options {option}: the config has no {key!r}; did you mean one of {similar}?')
        else:
            _check_kind(option, node, value)
            checked[option] = _tuples_as_before(node, value)
    return checked


def _check_kind(option: str, old: Any, new: Any) -> None:
    """Refuse text or a number in the place of a group of options, and text in the place of a number."""
    is_group = isinstance(old, dict) or (isinstance(old, list | tuple) and any(isinstance(each, dict) for each in old))
    if is_group and not (new is None or isinstance(new, dict | list | tuple)):
        known = list(old) if isinstance(old, dict) else list(range(len(old)))
        raise UsageError(f'--cfg-options {option}={new}: it is a group of options; set one of them: {option}.{known}')
    if isinstance(old, int | float) and not isinstance(old, bool) and isinstance(new, str):
        raise UsageError(f'--cfg-options {option}={new}: expected a number, as it was: {old}')


def _tuples_as_before(old: Any, new: Any) -> Any:
    """A value whose lists of numbers are tuples where they were; JSON and `[256,256]` know lists alone, mmcv minds."""
    if not isinstance(new, list) or not isinstance(old, list | tuple):
        return new
    if isinstance(old, tuple) and not any(isinstance(each, list | tuple | dict) for each in new):
        return tuple(new)
    return [_tuples_as_before(old[0], each) for each in new] if old else new
