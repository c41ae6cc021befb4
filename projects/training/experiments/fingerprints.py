"""What runs are made from besides their options: configs and data, which may change between two calls of a study."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mmengine.config import Config

from projects.training.config import locate

from .runs import Run


def fingerprints(runs: Sequence[Run]) -> list[dict[str, str | None]]:
    """Digests by which a later call sees that a result no longer belongs to its run.

    Returns:
        For each run `config_digest`, of its config with all that it inherits, and `data_digest`, of the
        `parameters.json` of its data; None where there is none. The runs themselves say what is wrong then.
    """

    @cache
    def read(config: str) -> Config:
        file = locate(config)
        return Config.fromfile(file, import_custom_modules=False) if file.is_file() else Config()

    @cache
    def digest_file(path: Path) -> str | None:
        return _digest(path.read_bytes()) if path.is_file() else None

    return [
        {
            'config_digest': _digest(repr(read(run.config).to_dict()).encode()) if read(run.config) else None,
            'data_digest': digest_file(
                locate(Path(run.options.get('data_root') or read(run.config).get('data_root') or '', 'parameters.json'))
            ),
        }
        for run in runs
    ]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
