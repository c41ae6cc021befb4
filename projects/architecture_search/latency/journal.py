"""Measurements in a file, each beside the machine and the conditions that it holds for."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from mmengine.logging import print_log

from projects.deployment.benchmark.machine import describe_machine
from projects.storage.atomic_files import write_file
from projects.storage.parameters import differences, digest

FORMAT = 2
LIBRARIES = ('torch', 'onnx', 'onnxruntime', 'openvino')  # whose versions change what is measured


def describe(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return what measurements hold for: this processor, its libraries, and some conditions."""
    machine = describe_machine()
    kept = {name: machine[name] for name in ('processor', 'cores', 'instructions', 'system')}
    versions = {name: version for name, version in machine['versions'].items() if name in LIBRARIES}
    return {**kept, 'versions': versions, **conditions}


class Journal:
    """What was measured, in a JSON file that is written whole after each step; processes may share it.

    Args:
        path: The file, in an existing folder. What it holds of other machines or conditions stays, and is not used.
        holds_for: From `describe`; must be JSON.
    """

    def __init__(self, path: Path, holds_for: Mapping[str, Any]) -> None:
        self.path = path
        self.holds_for = json.loads(json.dumps(holds_for))
        self._key = digest([json.dumps(self.holds_for, sort_keys=True).encode()])
        groups = self._read()
        self.entries: dict[str, Any] = groups.get(self._key, {}).get('entries', {})
        for key, group in groups.items():
            if key != self._key:
                differing = '; '.join(differences(group['holds_for'], self.holds_for))
                print_log(
                    f'{path}: {len(group["entries"])} measurements are not used, as they are of another machine or of '
                    f'other conditions ({differing})',
                    logger='current',
                    level=logging.WARNING,
                )

    def add(self, entries: Mapping[str, Any]) -> None:
        """Keep measurements by their names, beside what other processes have added meanwhile."""
        with FileLock(self.path.with_name(f'.{self.path.name}.lock')):
            groups = self._read()
            self.entries = {**groups.get(self._key, {}).get('entries', {}), **entries}
            groups[self._key] = {'holds_for': self.holds_for, 'entries': self.entries}
            write_file(self.path, json.dumps({'format': FORMAT, 'measured': groups}, indent=1))

    def _read(self) -> dict[str, Any]:
        if not self.path.is_file():
            return {}
        try:
            data = json.loads(self.path.read_text(encoding='utf-8'))
            if data['format'] != FORMAT:
                raise ValueError(f'format {data["format"]}, expected {FORMAT}')
            return data['measured']
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{self.path} is no journal of latencies ({error}); delete it to measure anew') from error
