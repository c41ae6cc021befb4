"""Source and target in one training set."""

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.dataset import ConcatDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from projects.training.datasets import combine_seeds


@DATASETS.register_module()
class MixedDataset(ConcatDataset):
    """Several data sets of one type in one, each as often as is said, with repeatable augmentation.

    A sample is drawn as often as it stands in the set: without repetition, a source ten times as large as the target
    gives ten of eleven samples. Each repetition is augmented on its own.

    Args:
        of: Type of the data sets.
        parts: What distinguishes each data set, such as its `data_prefix`.
        times: How often each one stands in the set; by default once.
        **kwargs: What they have in common.

    Raises:
        ValueError: There are no parts, or not one number from 1 on for each.
    """

    def __init__(
        self, of: str, parts: Sequence[dict[str, Any]], times: Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        times = [1] * len(parts) if times is None else times
        if not parts or len(times) != len(parts) or min(times) < 1:
            raise ValueError(f'MixedDataset takes one number from 1 on for each part; got times={times!r}, {parts!r}.')
        super().__init__(
            [
                DATASETS.build({'type': of, **kwargs, **part})
                for part, number in zip(parts, times, strict=True)
                for _ in range(number)
            ]
        )
        lengths = [len(dataset) for dataset in self.datasets]
        shares = ', '.join(
            f'{sum(lengths[sum(times[:i]) : sum(times[: i + 1])]) / sum(lengths):.0%} from {part}'
            for i, part in enumerate(parts)
        )
        print_log(f'mixed training set of {len(self)} samples: {shares}', logger='current', level=logging.INFO)

    def set_position(self, seed: int, epoch: int) -> None:
        """Let the random numbers of every sample follow from (seed, epoch, number of the data set, index)."""
        for number, dataset in enumerate(self.datasets):
            dataset.set_position(combine_seeds(seed, number), epoch)
