"""Classes of buildings by height."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from projects.geodata.heights import CLASS_LIMITS_M, CLASS_NAMES, UNKNOWN_CLASS
from projects.reporting.palette import GRAY, HEIGHTS

UNKNOWN = UNKNOWN_CLASS
OVERALL = 'overall'  # what is said of all buildings together, beside the classes
COLORS = HEIGHTS  # they repeat


@dataclass(frozen=True)
class HeightClasses:
    """Height ranges that scores are reported for.

    Attributes:
        limits_m: Ascending limits between the classes; a height equal to one belongs to the upper class.
        names: One more than there are limits, lowest first.

    Raises:
        ValueError: The limits do not ascend, or there is not one name more.
    """

    limits_m: tuple[float, ...] = CLASS_LIMITS_M
    names: tuple[str, ...] = CLASS_NAMES

    def __post_init__(self) -> None:
        if not np.isfinite(self.limits_m).all() or list(self.limits_m) != sorted(set(self.limits_m)):
            raise ValueError(f'limits_m = {self.limits_m}: expected ascending heights in metres.')
        if len(self.names) != len(self.limits_m) + 1 or len({*self.names, UNKNOWN, OVERALL}) != len(self.names) + 2:
            raise ValueError(
                f'names = {self.names}: expected {len(self.limits_m) + 1} different ones, and not {UNKNOWN!r} or '
                f'{OVERALL!r}.'
            )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """From what `dataclasses.asdict` makes of it, read from a file."""
        return cls(tuple(content['limits_m']), tuple(content['names']))

    @classmethod
    def of_tile_set(cls, folder: str | Path | None) -> Self | None:
        """Those that a tile set was made with, by the `parameters.json` in its folder; None if it states none."""
        file = Path(folder or '', 'parameters.json')
        try:
            parameters = json.loads(file.read_text(encoding='utf-8')) if folder and file.is_file() else None
        except ValueError:  # somebody else's
            return None
        stated = parameters.get('height_classes') if isinstance(parameters, dict) else None
        return cls.from_json(stated) if stated else None

    @property
    def names_with_unknown(self) -> tuple[str, ...]:
        """The names, and that of buildings of unknown height."""
        return (*self.names, UNKNOWN)

    @property
    def colors(self) -> dict[str, str]:
        """The colour of each of `names_with_unknown`, in every picture."""
        return {name: COLORS[i % len(COLORS)] for i, name in enumerate(self.names)} | {UNKNOWN: GRAY}

    def index(self, heights_m: np.ndarray) -> np.ndarray:
        """Position of each height's class in `names_with_unknown`.

        Note:
            Heights and limits are compared in single precision, in which data sets hold heights: 3.3 m read from a
            file is 3.3 m in a config.

        Args:
            heights_m: Metres above ground, of any shape; NaN is unknown.

        Returns:
            Integers of the same shape.
        """
        heights_m = np.asarray(heights_m, dtype=np.float32)
        classes = np.digitize(heights_m, np.array(self.limits_m, np.float32))
        return np.where(np.isnan(heights_m), len(self.names), classes)
