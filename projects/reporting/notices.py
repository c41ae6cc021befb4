"""What a log says once, and what it does not say of each of many."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


def say_once(message: str, level: int = logging.WARNING) -> None:
    """Log a message unless this log has it: a data set and its evaluator read the same files."""
    from mmengine.logging import MMLogger  # only now: it imports PyTorch, which reading most files does without

    _say(message, level, MMLogger.get_current_instance().instance_name)


@contextmanager
def only_warnings() -> Iterator[None]:
    """Keep the log to warnings: of one thing of hundreds, what is usual is not said."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@cache
def _say(message: str, level: int, instance_name: str) -> None:
    from mmengine.logging import print_log

    print_log(message, logger='current', level=level)
