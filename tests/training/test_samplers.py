"""Batches and draws that can be repeated."""

import pytest
import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmengine.structures import InstanceData
from torch.utils.data import Sampler

from projects.training.samplers import ReproducibleRandomSampler, ResumableAspectRatioBatchSampler


class Images(Sampler):
    """Sampler over `number` images whose sides alternate irregularly between upright and lying."""

    def __init__(self, number):
        self.number, self.dataset = number, self

    def get_data_info(self, index):
        return {'width': 40, 'height': 60 if index % 3 else 20}

    def __iter__(self):
        return iter(range(self.number))

    def __len__(self):
        return self.number


@pytest.mark.parametrize('skipped', [0, 1, 3, 6])
def test_skipping_gives_the_rest_of_the_same_batches(skipped):
    whole = list(ResumableAspectRatioBatchSampler(Images(23), batch_size=4))
    assert len(whole) == 6
    assert sorted(index for batch in whole for index in batch) == list(range(23))
    sampler = ResumableAspectRatioBatchSampler(Images(23), batch_size=4)
    sampler.num_skipped = skipped
    assert list(sampler) == whole[skipped:]
    assert list(sampler) == whole  # the next epoch is complete again


def test_an_abandoned_pass_leaves_nothing_behind():
    sampler = ResumableAspectRatioBatchSampler(Images(23), batch_size=4)
    whole = list(sampler)
    next(iter(sampler))
    assert list(sampler) == whole


def draw(boxes, seed):
    """Indices of the 8 of 100 priors that the sampler draws for an image with these ground truth boxes."""
    torch.manual_seed(seed)
    assigned = torch.zeros(100, dtype=torch.long)
    assigned[:20] = 1
    result = ReproducibleRandomSampler(num=8, pos_fraction=0.5, add_gt_as_proposals=False).sample(
        AssignResult(1, assigned, torch.zeros(100), labels=torch.zeros(100, dtype=torch.long)),
        InstanceData(priors=torch.arange(400.0).reshape(100, 4)),
        InstanceData(bboxes=torch.tensor(boxes), labels=torch.zeros(1, dtype=torch.long)),
    )
    return result.pos_inds.tolist() + result.neg_inds.tolist()


def test_the_draw_follows_from_iteration_and_image_alone():
    one, other = [[1.0, 2.0, 3.0, 4.0]], [[1.0, 2.0, 3.0, 5.0]]
    assert draw(one, seed=5) == draw(one, seed=5)
    assert draw(one, seed=5) != draw(one, seed=6)
    assert draw(one, seed=5) != draw(other, seed=5)
    indices = draw(one, seed=5)
    assert len(set(indices)) == 8
    assert sum(index < 20 for index in indices) == 4


def test_the_draw_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    draw([[0.0, 0.0, 1.0, 1.0]], seed=0)
    assert torch.equal(torch.rand(3), expected)
