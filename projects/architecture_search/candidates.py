"""Networks that a search trains and measures: a config, what is changed in it, and in what its file computes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from mmengine.config import Config

from projects.storage.parameters import digest
from projects.training.config import ROOT, load_config
from projects.training.image_scale import scale_images

from .space import IMAGE_SCALE, PRECISION, Point, Space

WIDTH = 116  # characters of a line of Python

Prepare = Callable[[Config], None]
"""Changes the config of every network in place: to data that fits the time there is."""


@dataclass(frozen=True)
class Candidate:
    """A network.

    Attributes:
        name: For people.
        config: Config file.
        options: Dotted keys of the config and their values; a dict replaces a dict whole.
        image_scale: Factor of all image sizes.
        precision: Of the exported file.
        point: Of the space; None for a config that a person made.
    """

    name: str
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    image_scale: float = 1.0
    precision: str = 'fp32'
    point: dict[str, Any] | None = None

    @property
    def trained(self) -> str:
        """Digest of all that a training depends on: networks that differ in precision alone are trained once."""
        effect = {'config': self.config, 'options': self.options, 'image_scale': self.image_scale}
        return digest([json.dumps(effect, sort_keys=True).encode()])[:12]

    @property
    def deployed(self) -> str:
        """Digest of all that an exported file depends on."""
        return f'{self.trained}_{self.precision}'

    def config_of(self, prepare: Prepare) -> Config:
        """Read the config and change it.

        Raises:
            ValueError: An option has no effect or is misspelt.
        """
        options = {
            key: {**value, '_delete_': True} if isinstance(value, Mapping) else value
            for key, value in self.options.items()
        }
        cfg = load_config(self.config, options)
        prepare(cfg)
        if self.image_scale != 1:
            scale_images(cfg, self.image_scale)
        return cfg

    def to_json(self) -> dict[str, Any]:
        """As JSON says it."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave."""
        return cls(**content)


def candidate_of(space: Space, config: str, point: Point, shared: Mapping[str, Any]) -> Candidate:
    """The network of a point of a space.

    Args:
        space: Of the point.
        config: Config file of the task.
        point: The network.
        shared: Options that all networks of the space have; those of the point come after them.
    """
    name = ' '.join(str(value) for choice, value in point.items() if len(space.choices[choice]) > 1)
    options = json.loads(json.dumps({**shared, **space.options(point)}))
    scale, precision = float(point[IMAGE_SCALE]), str(point[PRECISION])
    return Candidate(name, config, options, scale, precision, dict(point))


def leaf_config(base: Config, changed: Config, base_file: str, title: str) -> str:
    """Write the leaf config that makes one config of another: what differs, as a person would write it.

    Args:
        base: As it is in its file.
        changed: As it is to be.
        base_file: Of `base`, as the leaf is to name it.
        title: Its docstring.

    Returns:
        Python, one assignment for each key. Paths below the project's folder are relative to it.
    """
    before, after = base.to_dict(), changed.to_dict()
    lines = [f'"""{title}"""\n', f'_base_ = {base_file!r}\n']
    for key, value in after.items():
        if key not in before or before[key] != value:
            difference = _difference(before[key], value) if key in before else value
            lines.append(f'{key} = {_written(difference, len(key) + 3)}')
    return '\n'.join(lines) + '\n'


def _written(value: Any, used: int, indent: int = 0) -> str:
    """A value in Python: dicts as calls where their keys are names, on one line if that is short enough."""
    if isinstance(value, str) and Path(value).is_relative_to(ROOT):
        return repr(Path(value).relative_to(ROOT).as_posix())
    if not isinstance(value, Mapping | list | tuple) or not value:
        return repr(value)
    named = isinstance(value, Mapping) and all(isinstance(key, str) and key.isidentifier() for key in value)
    opening, closing = ('dict(', ')') if named else '{}' if isinstance(value, Mapping) else '[]'
    if isinstance(value, tuple):
        opening, closing = '()'
    inner = indent + 4
    names = [f'{key}=' if named else f'{key!r}: ' for key in value] if isinstance(value, Mapping) else [''] * len(value)
    values = value.values() if isinstance(value, Mapping) else value
    parts = [f'{name}{_written(each, inner + len(name), inner)}' for name, each in zip(names, values, strict=True)]
    comma = ',' if isinstance(value, tuple) and len(parts) == 1 else ''
    line = f'{opening}{", ".join(parts)}{comma}{closing}'
    if '\n' not in line and used + len(line) < WIDTH:
        return line
    return '\n'.join([opening, *(f'{" " * inner}{part},' for part in parts), ' ' * indent + closing])


def _difference(before: Any, after: Any) -> Any:
    """What mmengine must merge into a value to make another one of it."""
    if not isinstance(after, Mapping):
        return after
    if not isinstance(before, Mapping) or before.keys() - after.keys() or before.get('type') != after.get('type'):
        return {'_delete_': True, **after}
    return {
        key: _difference(before[key], value) if key in before else value
        for key, value in after.items()
        if key not in before or before[key] != value
    }
