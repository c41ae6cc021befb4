"""One run in parts, on machines that share a folder and nothing else: none waits for another, and none is missed.

What is to be done has numbers, the strips of a raster or the files of a folder, and each part begins with a share of
its own. Who has done that goes on where the most is left, of parts that are slow, dead or have not begun. Nothing
depends on who does what: whatever two processes do twice, they do alike, and every file appears whole. What a process
has in hand is written in a file of its own, which it renews as long as it lives, so that seldom anything is done twice;
no lock is needed, no two clocks are compared, and one's file is never written by another.
"""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from secrets import token_hex
from tempfile import NamedTemporaryFile
from typing import Any

from projects.command_line import UsageError
from projects.storage.atomic_files import write_file

BEAT_S = 20.0  # between two renewals
STALE_S = 180.0  # a file that is so much older than one's own is of a dead process; NFS may show files a minute late
FINISHED = Callable[[], set[int]]
ENGINES = (  # index, count, and what else the index begins with and goes by
    ('Google Batch', 'BATCH_TASK_INDEX', 'BATCH_TASK_COUNT'),
    ('AWS Batch', 'AWS_BATCH_JOB_ARRAY_INDEX', 'AWS_BATCH_JOB_ARRAY_SIZE'),
    ('Slurm', 'SLURM_ARRAY_TASK_ID', 'SLURM_ARRAY_TASK_COUNT'),
    ('Kubernetes', 'JOB_COMPLETION_INDEX', ''),  # does not say how many there are
)


@dataclass(frozen=True)
class Part:
    """One of the parts of a run.

    Attributes:
        index: From 0.
        count: Of all parts.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f'{self.index}/{self.count}'

    def share(self, total: int) -> range:
        """The numbers that it begins with; those of all parts are 0 to `total`."""
        return range(total * self.index // self.count, total * (self.index + 1) // self.count)


def find_part(text: str, environment: Mapping[str, str] = os.environ) -> Part:
    """Read which part this is.

    Args:
        text: `I/N`, from 0/N to N-1/N; `auto`, as an engine's variables say: those of a Slurm array, an array of AWS
            Batch, an indexed job of Kubernetes, tasks of Google Batch; or `auto/N`, where those do not say how many.
        environment: Where the variables are.

    Raises:
        UsageError: It is none of these, the variables are missing, or contradict themselves.

    Example:
        >>> find_part('auto', {'SLURM_ARRAY_TASK_ID': '3', 'SLURM_ARRAY_TASK_MIN': '1', 'SLURM_ARRAY_TASK_COUNT': '8'})
        Part(index=2, count=8)
    """
    match = re.fullmatch(r'(auto|\d+)(?:/(\d+))?', text)
    if match is None or (match[1] != 'auto' and match[2] is None):
        raise UsageError(f'--part {text}: expected I/N, such as 0/4 to 3/4, or auto')
    source, index, count = f'--part {text}', match[1], match[2]
    if index == 'auto':
        source, index, stated = _of_engine(environment)
        count = count or stated
        if count is None:
            raise UsageError(f'{source} does not say how many parts there are; name them: --part auto/N')
    part = Part(int(index), int(count))
    if not 0 <= part.index < part.count:
        raise UsageError(f'{source}: part {part.index} of {part.count}; expected 0 to {max(part.count - 1, 0)}')
    return part


def _of_engine(environment: Mapping[str, str]) -> tuple[str, str, str | None]:
    """Which engine it is, and the index and number that it states."""
    for engine, index, count in ENGINES:
        if index in environment:
            if not environment[index].isdecimal():
                raise UsageError(f'{index}={environment[index]}: expected a whole number')
            number = int(environment[index])
            if engine == 'Slurm':
                number -= int(environment.get('SLURM_ARRAY_TASK_MIN', 0))
                step = int(environment.get('SLURM_ARRAY_TASK_STEP', 1))
                if number % step:
                    raise UsageError(
                        f'{index}={environment[index]}: expected an array such as 0-7; name the --part I/N'
                    )
                number //= step
            return f'{engine} ({index})', str(number), environment.get(count)
    listed = ', '.join(index for _, index, _ in ENGINES)
    raise UsageError(f'--part auto: none of {listed} is set, so this is no task of an array; name the --part I/N')


def next_number(free: set[int], held: set[int], share: range, last: int | None) -> int | None:
    """Which number a part does next.

    It goes on with the neighbour of its last one, which is cheaper than any other (a strip needs the one above), or
    else begins a gap, the largest of its own share, or of all. Where a living process works at the number before the
    gap and will need its beginning, it takes the second half.

    Args:
        free: What is neither done nor in anybody's hand.
        held: What others have in hand.
        share: What the part has begun with.
        last: Its last one; None: there was none.
    """
    if last is not None and last + 1 in free:
        return last + 1
    gaps = _gaps(free.intersection(share)) or _gaps(free)
    if not gaps:
        return None
    gap = max(gaps, key=len)
    return gap[len(gap) // 2] if gap[0] - 1 in held else gap[0]


def _gaps(numbers: set[int]) -> list[list[int]]:
    """Runs of numbers, each without a hole."""
    runs = groupby(enumerate(sorted(numbers)), key=lambda place: place[1] - place[0])
    return [[number for _, number in run] for _, run in runs]


class Hands:
    """What the living processes of a run have in hand; as a context, which keeps one's own file new.

    Args:
        folder: Where every process has a file; made if need be. If it is gone, the run is finished.
        part: That of this process.
    """

    def __init__(self, folder: Path, part: Part) -> None:
        self._folder, self._part = folder, part
        self._path = folder / f'{part.index}-{token_hex(6)}.json'
        self._mine: set[int] = set()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> 'Hands':
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._mine.clear()  # whatever happened: others need not wait
        self._write(has_ended=True)

    def take(self, total: int, finished: FINISHED, at_once: int = 1) -> Iterator[int]:
        """Numbers to do, each taken in hand before it is given; ends when nothing is left that nobody has.

        Args:
            total: They are 0 to `total`.
            finished: Those that are done, whoever did them; called anew for each.
            at_once: As many neighbours are taken together, where each is done quickly.
        """
        share, last = self._part.share(total), None
        while self._folder.is_dir():
            done = finished()
            held = set[int]().union(*(hand for _, hand in self._others().values())) - done
            free = {*range(total)} - done - held - self._mine
            number = next_number(free, held, share, last)
            if number is None:
                return
            bounds = share if number in share else range(total)
            numbers = [number]
            while len(numbers) < at_once and numbers[-1] + 1 in free and numbers[-1] + 1 in bounds:
                numbers.append(numbers[-1] + 1)
            self._mine.update(numbers)
            self._write()
            for name, (_, hand) in self._others().items():
                if name < self._path.name:  # of two that take the same at the same time
                    self._mine -= hand
            last = numbers[-1]
            yield from (number for number in numbers if number in self._mine)

    def is_more(self, total: int, finished: FINISHED) -> bool:
        """Whether anything is left for this process, once it is known that those who have the rest in hand live."""
        first: dict[str, float] = {}
        while self._folder.is_dir():
            left = {*range(total)} - finished() - self._mine
            others = {name: (stamp, hand & left) for name, (stamp, hand) in self._others().items() if hand & left}
            if left.difference(*(hand for _, hand in others.values())):
                return True
            if all(stamp != first.setdefault(name, stamp) for name, (stamp, _) in others.items()):
                break
            time.sleep(BEAT_S / 4)
        return False

    def _others(self) -> dict[str, tuple[float, set[int]]]:
        """When other living processes were last heard of, by the clock of the disk, and what they have in hand."""
        hands = read_hands(self._folder)
        now = hands.pop(self._path.name, {'stamp': 0.0})['stamp']
        return {name: (hand['stamp'], {*hand['hand']}) for name, hand in hands.items() if now - hand['stamp'] < STALE_S}

    def _live(self) -> None:
        while not self._ended.wait(BEAT_S):
            self._write()

    def _write(self, has_ended: bool = False) -> None:
        """Renew the file; one that cannot be written makes others do what this process does, and nothing wrong."""
        with self._lock, suppress(OSError):
            hand = {'part': [self._part.index, self._part.count], 'hand': sorted(self._mine), 'has_ended': has_ended}
            write_file(self._path, json.dumps(hand))


def read_hands(folder: Path) -> dict[str, dict[str, Any]]:
    """`part`, `hand`, `has_ended` and time `stamp` of every process that was ever at a run, by name."""
    hands = {}
    for path in folder.glob('[!.]*.json'):
        with suppress(OSError, ValueError):  # it is just being renewed, on a disk that shows it half
            hands[path.name] = {**json.loads(path.read_text(encoding='utf-8')), 'stamp': path.stat().st_mtime}
    return hands


def at_work(folder: Path) -> list[Part]:
    """Parts that live, or were killed less than `STALE_S` ago."""
    if not folder.is_dir():
        return []
    with NamedTemporaryFile(dir=folder, prefix='.') as file:
        now = os.fstat(file.fileno()).st_mtime  # by the clock of the disk
    living = [
        hand for hand in read_hands(folder).values() if now - hand['stamp'] < STALE_S and not hand.get('has_ended')
    ]
    return sorted({Part(*hand['part']) for hand in living}, key=lambda part: (part.count, part.index))


def whose(numbers: set[int], total: int, folder: Path) -> list[Part]:
    """Parts in whose shares some numbers are, as the last process that began had divided them; []: none has begun."""
    hands = sorted(read_hands(folder).values(), key=lambda hand: hand['stamp'])
    count = hands[-1]['part'][1] if hands else 0
    return [part for part in (Part(index, count) for index in range(count)) if numbers & {*part.share(total)}]


class MissingError(ValueError):
    """Something of a run in parts is not there yet.

    Attributes:
        parts: Those who would have made it.
    """

    def __init__(self, what: str, numbers: set[int], total: int, folder: Path) -> None:
        self.parts = whose(numbers, total, folder)
        runs = [f'{run[0]}' if len(run) == 1 else f'{run[0]} to {run[-1]}' for run in _gaps(numbers)]
        listed = ', '.join(runs[:8]) + (', …' if len(runs) > 8 else '')
        if self.parts:
            made_by = f'make them with --part {", ".join(map(str, self.parts))}'
        else:
            made_by = 'no part has begun: make them with --part 0/1, or several'
        super().__init__(f'{what} {listed} of {total} are missing (from 0); {made_by}, then --join again')
