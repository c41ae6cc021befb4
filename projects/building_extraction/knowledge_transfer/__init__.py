"""What a network learns on a large noisy source, brought to a small clean target; and the losses of the task.

- supervised domain adaptation: `load_from`, checked by `SourceModel`; part by part with `GradualFineTuning`
- knowledge distillation: `DistilledSegmentor`
- deep mutual learning: `MutualLearningSegmentor`, with `PeerApart`
- the baseline that is trained on both domains at once: `MixedDataset`
- the nine losses of the paper: `BuildingLoss`
"""

from .distillation import DistilledSegmentor
from .gradual_fine_tuning import GradualFineTuning
from .losses import BuildingLoss
from .mixed_dataset import MixedDataset
from .mutual_learning import MutualLearningSegmentor, PeerApart
from .source_model import SourceModel

__all__ = [
    'BuildingLoss',
    'DistilledSegmentor',
    'GradualFineTuning',
    'MixedDataset',
    'MutualLearningSegmentor',
    'PeerApart',
    'SourceModel',
]
