"""What a benchmark has measured, in a file that an interrupted one continues."""

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from projects.storage.atomic_files import write_file

from .machine import describe_machine
from .subjects import Subject
from .timing import Measurement

FORMAT = 1


class Results:
    """What was measured, in a JSON file that is written whole after each step.

    Args:
        path: The file. Results of the same question in it are kept; those of another one are not.
        question: What is measured, and how; must be JSON.
    """

    def __init__(self, path: Path, question: dict[str, Any]) -> None:
        self.path = path
        question = json.loads(json.dumps(question))
        self.data: dict[str, Any] = {
            'format': FORMAT,
            'question': question,
            'machine': describe_machine(),
            'begun': datetime.now(UTC).isoformat(timespec='seconds'),
            'subjects': {},
            'ceilings': {},
            'memory_mb': {},
            'layer_ceilings': {},
            'layers': {},
            'left_out': {},
            'measurements': {},
        }
        if path.is_file():
            kept = json.loads(path.read_text(encoding='utf-8'))
            same = ('format', 'question', 'machine')
            if all(kept.get(key) == self.data[key] for key in same):
                self.data = kept
                message = f'{path} holds measurements of {kept["begun"]}, which are kept; delete it to measure anew'
                print_log(message, logger='current', level=logging.WARNING)

    def save(self) -> None:
        """Write the file."""
        self.data['written'] = datetime.now(UTC).isoformat(timespec='seconds')
        write_file(self.path, json.dumps(self.data, indent=1))

    def has(self, step: str) -> bool:
        """Whether a step was done before."""
        return step in self.data['measurements']

    def add(self, step: str, measurements: Sequence[Measurement]) -> None:
        """Keep the measurements of a step, and write the file."""
        self.data['measurements'][step] = [one.as_json() for one in measurements]
        self.save()

    def measurements(self, step: str | None = None) -> list[Measurement]:
        """Return those of a step, or all."""
        steps = self.data['measurements']
        return [Measurement.from_json(one) for name in ([step] if step else steps) for one in steps[name]]

    def describe(self, subject: Subject) -> None:
        """Keep what is known of a model."""
        about = {'size': list(subject.size), 'params': subject.params, 'macs': subject.macs}
        self.data['subjects'][subject.name] = about

    def leave_out(self, case: str, reason: str) -> None:
        """Keep why a case is missing, and say so."""
        if self.data['left_out'].get(case) != reason:
            print_log(f'left out: {case}: {reason}', logger='current', level=logging.WARNING)
        self.data['left_out'][case] = reason
