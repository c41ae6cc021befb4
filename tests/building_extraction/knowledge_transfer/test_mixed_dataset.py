import pytest
import torch
from mmengine.registry import DATASETS

from projects.building_extraction.datasets import mixed_dataset  # noqa: F401 (registers)

SOURCE, TARGET = {'length': 6, 'shade': 120}, {'length': 2, 'shade': 240}


def mixed(**options):
    return DATASETS.build({'type': 'MixedDataset', 'of': 'Squares', 'parts': [SOURCE, TARGET], **options})


def shades(dataset):
    return [int(dataset[index]['inputs'].max()) for index in range(len(dataset))]


def test_each_part_stands_in_the_set_as_often_as_is_said():
    assert shades(mixed()) == [120] * 6 + [240] * 2
    assert shades(mixed(times=[1, 3])) == [120] * 6 + [240] * 6
    assert mixed().metainfo['classes'] == ('background', 'building')


def test_augmentation_follows_from_seed_epoch_and_position_alone():
    dataset, other = mixed(times=[1, 2]), mixed(times=[1, 2])
    for each in (dataset, other):
        each.set_position(7, 1)
    first = [dataset[index]['inputs'] for index in range(10)]
    again = [other[index]['inputs'] for index in reversed(range(10))][::-1]
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first[6], first[8])  # a repetition of the same sample
    other.set_position(7, 2)
    assert not torch.equal(first[0], other[0]['inputs'])
    other.set_position(8, 1)
    assert not torch.equal(first[0], other[0]['inputs'])


def test_a_mixed_training_resumes_exactly(tmp_path, train, network):
    dataset = {'type': 'MixedDataset', 'of': 'Squares', 'parts': [SOURCE, TARGET], 'times': [1, 2]}
    whole = train(tmp_path / 'whole', network(), dataset=dataset)
    train(tmp_path / 'half', network(), iters=2, dataset=dataset)
    resumed = train(tmp_path / 'half', network(), resume=tmp_path / 'half' / 'iter_2.pth', dataset=dataset)
    weights = whole.model.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in resumed.model.state_dict().items())


@pytest.mark.parametrize('options', [{'parts': []}, {'times': [1]}, {'times': [1, 0]}])
def test_parts_without_a_number_of_times_are_refused(options):
    with pytest.raises(ValueError, match='one number from 1 on for each part'):
        mixed(**options)
