"""What a log says once, and what it does not say."""

import logging

import pytest
from mmengine.logging import MMLogger, print_log

from projects.reporting.notices import only_warnings, say_once


@pytest.fixture
def said(logged):
    """What the current log says at the level that training has."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.INFO)
    yield logged
    logger.setLevel(level)


def test_a_notice_is_said_once(said):
    for _ in range(2):
        say_once('half of the labels are test_notices')
    assert said == ['half of the labels are test_notices']


def test_what_is_usual_is_not_said_and_what_is_not_is(said):
    def at_work():
        print_log('as usual', 'current')
        print_log('odd', 'current', logging.WARNING)
        raise ValueError('ended')

    with pytest.raises(ValueError, match='ended'), only_warnings():
        at_work()
    print_log('as before', 'current')
    assert said == ['odd', 'as before']
