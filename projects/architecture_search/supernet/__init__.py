"""Networks that share their weights; importing the package registers `Supernet`."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)

from .recalibration import recalibrate
from .scores import SupernetScores
from .supernet import Supernet
from .training import save_network, supernet_config

__all__ = ['Supernet', 'SupernetScores', 'recalibrate', 'save_network', 'supernet_config']
