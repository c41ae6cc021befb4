"""What a log says once."""

import logging
from functools import cache


def say_once(message: str, level: int = logging.WARNING) -> None:
    """Log a message unless this log has it: a data set and its evaluator read the same files."""
    from mmengine.logging import MMLogger  # only now: it imports PyTorch, which reading most files does without

    _say(message, level, MMLogger.get_current_instance().instance_name)


@cache
def _say(message: str, level: int, instance_name: str) -> None:
    from mmengine.logging import print_log

    print_log(message, logger='current', level=level)
