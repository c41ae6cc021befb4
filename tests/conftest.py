"""Runs before every test module."""

import logging
import multiprocessing
import os

os.environ.setdefault('OMP_NUM_THREADS', '1')  # the tensors are small; more threads only wait for one another

import pytest
import torch
from mmengine.logging import MMLogger

import projects  # noqa: F401 (OpenMMLab can be imported from here on)

torch.set_num_threads(1)


@pytest.fixture
def logged():
    """Messages that mmengine's logger writes."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture(scope='session')
def clean_processes():
    """Starts processes from a server without threads, as `multiprocessing.Process` of the context that it returns.

    A process of the suite has a dozen threads by and by, of runtimes, GDAL and pictures; a fork of it has their locks
    and half-finished work, but not the threads that would finish it.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['projects.training'])
    return context
