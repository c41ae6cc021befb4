"""Runs before every test module."""

import gc
import logging
import os

os.environ.setdefault('OMP_NUM_THREADS', '1')  # the tensors are small; more threads only wait for one another

import pytest
import torch
from mmengine.logging import MMLogger

import projects.openmmlab_compat  # noqa: F401 (OpenMMLab can be imported from here on)
from tests import processes

torch.set_num_threads(1)
processes.preload_for_all()


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


@pytest.fixture
def impatient(monkeypatch):
    """Latencies do not wait for a quiet machine; test_quiet.py tells what waiting is good for, by a made-up clock."""
    monkeypatch.setattr('projects.architecture_search.latency.measure.PROBE_S', 0.1)
    monkeypatch.setattr('projects.architecture_search.latency.quiet.PATIENCE_S', 0.0)


@pytest.fixture(scope='session')
def clean_processes():
    """What starts processes without the threads of this one; see there."""
    return processes.clean_processes()


def pytest_collection_finish(session):
    """Leave what the imports made out of every later collection of garbage; data sets ask for a whole one each."""
    gc.collect()
    gc.freeze()
