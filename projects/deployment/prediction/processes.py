"""Several processes at one run, as `torchrun` starts them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

LONGEST_WAIT = timedelta(days=30)  # of one process for the others


def join_processes() -> tuple[int, int]:
    """Rank and number of processes, as `torchrun` started them; they can wait for one another from here on."""
    if 'RANK' not in os.environ or 'WORLD_SIZE' not in os.environ:
        return 0, 1
    from torch import distributed

    if not distributed.is_initialized():
        distributed.init_process_group('gloo', timeout=LONGEST_WAIT)
    return distributed.get_rank(), distributed.get_world_size()


def wait_for_all(num_processes: int) -> None:
    """Go on when all processes have come here."""
    if num_processes > 1:
        from torch import distributed

        distributed.barrier()


@contextmanager
def together(num_processes: int) -> Iterator[None]:
    """Go on when all processes have done a block; if one of them could not, none goes on.

    Raises:
        ValueError: The block failed in another process alone; what it raised in this one is raised as it is.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    reasons: list[str | None] = [None] * num_processes
    if num_processes > 1:
        from torch import distributed

        distributed.all_gather_object(reasons, None if error is None else str(error) or type(error).__name__)
    if error is not None:
        raise error
    if failed := [reason for reason in reasons if reason is not None]:
        raise ValueError(f'another process failed: {failed[0]}')


def leave_processes() -> None:
    """End what `join_processes` began."""
    if 'torch.distributed' not in sys.modules:
        return
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
