"""What a network learns on a large noisy source, brought to a small clean target; and the losses of the task.

- supervised domain adaptation: `load_from`, checked by `SourceModel`; part by part with `GradualFineTuning`
- knowledge distillation: `DistilledSegmentor`
- deep mutual learning: `MutualLearningSegmentor`, with `PeerApart`
- the nine losses of the paper: `BuildingLoss`
"""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)

from .distillation import DistilledSegmentor
from .gradual_fine_tuning import GradualFineTuning
from .losses import BuildingLoss
from .mutual_learning import MutualLearningSegmentor, PeerApart
from .source_model import SourceModel

__all__ = [
    'BuildingLoss',
    'DistilledSegmentor',
    'GradualFineTuning',
    'MutualLearningSegmentor',
    'PeerApart',
    'SourceModel',
]
