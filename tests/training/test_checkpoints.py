"""Checkpoints of whole models: which is the latest, what fits, what is said of what does not."""

import os

import pytest
import torch
from torch import nn

from projects.training.checkpoints import (
    best_checkpoint,
    fit_weights,
    latest_checkpoint,
    read_weights,
    refuse,
    switch_off_pretrained,
)


def test_the_latest_checkpoint_is_the_newest_whole_one(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for age, name in enumerate(('interrupted.pth', 'epoch_2.pth', 'iter_9.pth', 'best_epoch_9.pth')):
        torch.save({'a': torch.zeros(3)}, tmp_path / name)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert latest_checkpoint(tmp_path).name == 'interrupted.pth'
    whole = (tmp_path / 'interrupted.pth').read_bytes()
    (tmp_path / 'interrupted.pth').write_bytes(whole[:-20])
    (tmp_path / '.epoch_3.pth.77.tmp').write_bytes(whole)
    assert latest_checkpoint(tmp_path).name == 'epoch_2.pth'


def test_the_best_checkpoint_is_the_newest_whole_one_that_scored_best(tmp_path):
    assert best_checkpoint(tmp_path) is None
    for age, name in enumerate(('best_f1_iter_9.pth', 'best_f1_iter_3.pth', 'iter_12.pth')):
        torch.save({'a': torch.zeros(3)}, tmp_path / name)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert best_checkpoint(tmp_path).name == 'best_f1_iter_9.pth'
    (tmp_path / 'best_f1_iter_9.pth').write_bytes(b'PK')
    assert best_checkpoint(tmp_path).name == 'best_f1_iter_3.pth'


def test_weights_are_read_out_of_what_trainings_of_several_processes_and_others_write(tmp_path):
    weight = torch.tensor([1.0, 2.0])
    for content in ({'state_dict': {'module.a': weight}, 'meta': {}}, {'model': {'a': weight}}, {'a': weight}):
        torch.save(content, tmp_path / 'a.pth')
        (read,) = read_weights(tmp_path / 'a.pth').items()
        assert read[0] == 'a'
        assert torch.equal(read[1], weight)


def test_what_fits_is_loaded_and_the_rest_is_named():
    model = nn.ModuleDict({'a': nn.Linear(2, 3), 'b': nn.Linear(1, 1, bias=False)})
    weights = {'a.weight': torch.full((3, 2), 7.0), 'a.bias': torch.zeros(4), 'c': torch.zeros(1)}
    assert fit_weights(model, weights, 'x.pth') == [
        'of another shape: a.bias (4,) instead of (3,)',
        'missing: b.weight',
        'left over: c',
    ]
    assert (model['a'].weight == 7).all()


def test_networks_resize_what_was_trained_at_another_size():
    """As attention biases of windows are, which a backbone interpolates when it is given them."""

    def resize(module, weights, prefix, *_):
        weights[f'{prefix}bias'] = weights[f'{prefix}bias'].repeat_interleave(2)

    layer = nn.Linear(1, 4)
    layer.register_load_state_dict_pre_hook(resize)
    weights = {'a.weight': torch.ones(4, 1), 'a.bias': torch.tensor([1.0, 2.0])}
    assert fit_weights(nn.ModuleDict({'a': layer}), weights, 'x.pth') == []
    assert layer.bias.tolist() == [1, 1, 2, 2]
    assert len(weights['a.bias']) == 2


class Scale(nn.Module):
    """In its second version in hundredths."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
        if local_metadata.get('version', 1) < 2:
            state_dict[f'{prefix}weight'] = state_dict[f'{prefix}weight'] * 100
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


@pytest.mark.parametrize('wrapped', [True, False], ids=['of several processes', 'of one'])
@pytest.mark.parametrize('other', [2, 3], ids=['all fits', 'a part does not'])
def test_layers_see_the_version_of_their_weights(tmp_path, wrapped, other):
    trained, model = (nn.ModuleDict({'s': Scale(), 'b': nn.Linear(size, 1)}) for size in (2, other))
    nn.init.constant_(trained['s'].weight, 7)
    stated = (nn.DataParallel(trained) if wrapped else trained).state_dict()
    for content, loaded in ((stated, 7), (dict(stated), 700)):  # a dict of its own says nothing of versions
        torch.save({'state_dict': content}, tmp_path / 'a.pth')
        assert len(fit_weights(model, read_weights(tmp_path / 'a.pth'), 'a.pth')) == (other != 2)
        assert model['s'].weight.item() == loaded


def test_a_refusal_lists_the_first_of_each_kind():
    refuse([], 'nothing is wrong')
    with pytest.raises(ValueError, match='it does not fit') as refusal:
        refuse([f'missing: m{i}' for i in range(12)] + ['left over: x'], 'it does not fit')
    lines = str(refusal.value).split('\n  ')
    assert lines == ['it does not fit', *(f'missing: m{i}' for i in range(10)), '… and 2 more', 'left over: x']


def test_pretrained_weights_are_switched_off_where_a_backbone_has_them():
    model = {'backbone': {'type': 'ResNet', 'pretrained': True}}
    switch_off_pretrained(model)
    assert model['backbone']['pretrained'] is False
    without = {'backbone': {'type': 'Mine'}}
    switch_off_pretrained(without)
    assert without == {'backbone': {'type': 'Mine'}}
