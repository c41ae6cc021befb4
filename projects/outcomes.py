"""What a tool has come to, for people and, with `--json`, for programs.

Every tool prints one object on stdout then, in the end, and all else on stderr:

    command    name of the tool
    exit_code  0, 1, 2 or 130, as the process has it
    seconds    that it took
    results    the tool's own: counts, scores, times, what failed
    paths      files and folders that it wrote, those first that one goes on with
    error      only where the exit code is not 0: what is wrong, and what to do
"""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

STDOUT, STDERR = 1, 2  # descriptors, to which libraries and child processes print


@dataclass
class Outcome:
    """What a tool has come to.

    Attributes:
        results: By name, whatever `json_values` knows.
        paths: Files and folders that were written.
    """

    results: dict[str, Any] = field(default_factory=dict)
    paths: list[str | Path] = field(default_factory=list)

    def wrote(self, *paths: str | Path | None, **results: Any) -> None:
        """Add paths, if they are any, and results."""
        self.paths += [path for path in paths if path is not None]
        self.results |= results

    def end(self, failed: Mapping[str, str]) -> None:
        """Say which runs failed, and why, and exit with 1; nothing if none did."""
        self.results['failed'] = dict(failed)
        for name, reason in failed.items():
            print(f'failed: {name}: {reason}')
        if failed:
            sys.exit(1)


@contextmanager
def stdout_for_json(wanted: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What prints an object, if it is wanted; what anybody else prints meanwhile goes to stderr then.

    Of several processes the first one prints.
    """
    if not wanted:
        yield lambda _: None
        return
    out = sys.stdout
    out.flush()
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)

    def print_json(told: dict[str, Any]) -> None:
        sys.stdout.flush()
        os.dup2(kept, STDOUT)
        if rank() == 0:
            print(json.dumps(json_values(told)), file=out, flush=True)
        os.dup2(STDERR, STDOUT)

    try:
        with redirect_stdout(sys.stderr):
            yield print_json
    finally:
        os.dup2(kept, STDOUT)
        os.close(kept)


def json_values(value: Any) -> Any:
    """What JSON has for a value: paths are text, numbers that are not finite null, of NumPy's and torch's the items."""
    if isinstance(value, Mapping):
        return {str(key): json_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_values(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return json_values({one.name: getattr(value, one.name) for one in fields(value)})
    if hasattr(value, 'tolist'):
        return json_values(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def rank() -> int:
    """Number of this process of a distributed run."""
    return int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', 0)))
