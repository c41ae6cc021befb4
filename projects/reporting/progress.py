"""How far something is: bars on stderr, on a terminal alone, which vanish when all is done."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

Item = TypeVar('Item')


def progress_bars(*columns: 'ProgressColumn', shown: bool = True) -> 'Progress':
    """Return bars with a description, counts and times, which are told apart by the ids of `add_task`.

    Args:
        *columns: What else stands in a line.
        shown: False, as for all processes but the first: none.
    """
    from rich import progress  # only now: tools start without it
    from rich.console import Console

    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn('{task.description}', markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        *columns,
        console=console,
        transient=True,
        disable=not (shown and console.is_terminal),
        speed_estimate_period=3600,
    )


@contextmanager
def progress_bar(description: str, total: int | None, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """One bar; yields what advances it."""
    with progress_bars(shown=shown) as bars:
        task = bars.add_task(description, total=total)
        yield lambda count: bars.advance(task, count)


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Go through items, beside a bar.

    Args:
        items: Any.
        description: What they are.
        total: How many there are, if they cannot tell.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_bar(description, total) as advance:
        for item in items:
            yield item
            advance(1)
