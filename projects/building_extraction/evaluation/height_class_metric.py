"""What metrics of buildings have in common: height classes, and a file of results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric

from projects.storage.atomic_files import write_file

from ..height_classes import HeightClasses


class HeightClassMetric(BaseMetric):
    """A metric that reports per height class, and writes what it finds where `out_file` says.

    Args:
        limits_m: Heights between the classes. By default, the classes are those that the data set was made with, or
            those of `HeightClasses` if it states none.
        names: Names of the classes, one more than there are limits.
        out_file: Where to write as JSON, null where a score is undefined; None: nowhere.
        **kwargs: Of mmengine's `BaseMetric`. By default, processes exchange results through their process group.
    """

    default_prefix = ''  # the names of the scores have their own
    out_suffix = '.json'  # of the file that `tools/test.py --out` asks for

    def __init__(
        self,
        limits_m: Sequence[float] | None = None,
        names: Sequence[str] | None = None,
        out_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{'collect_device': 'gpu', **kwargs})  # 'cpu' means files in the current folder
        default = HeightClasses()
        given = HeightClasses(
            default.limits_m if limits_m is None else tuple(limits_m), default.names if names is None else tuple(names)
        )
        self._given = None if limits_m is None and names is None else given
        self.out_file = out_file

    @property
    def classes(self) -> HeightClasses:
        """The classes: those of the config, of the data set, or the default ones."""
        stated = (self.dataset_meta or {}).get('height_classes')
        return self._given or (HeightClasses.from_json(stated) if stated else HeightClasses())

    @classmethod
    def output_options(cls, out: str) -> dict[str, str]:
        """Options with which it writes what it finds to `out`, as `tools/test.py --out` asks for."""
        return {'out_file': f'{out}{cls.out_suffix}'}

    def write(self, content: dict[str, Any]) -> None:
        """Write what was found, as a whole file, if it is asked for."""
        if self.out_file is not None:
            path = Path(self.out_file)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, json.dumps(content, indent=1, allow_nan=False))
