from copy import deepcopy

import pytest
import torch
from mmengine.registry import MODELS

from projects.building_extraction.knowledge_transfer.losses import bernoulli_divergence

TWO_CHANNELS = {'out_channels': 2, 'threshold': None, 'loss_decode': {'type': 'CrossEntropyLoss'}}
APART = {'default_hooks': {'peer': {'type': 'PeerApart'}}}


@pytest.fixture
def mutual(network):
    def make(**options):
        return network(**{'type': 'MutualLearningSegmentor', **options})

    return make


def equal(weights, others):
    return weights.keys() == others.keys() and all(torch.equal(weights[key], others[key]) for key in weights)


def logits_of(model, batch):
    return model.decode_head(model.extract_feat(batch.images))


def test_each_network_is_drawn_to_the_other(build, mutual, batch):
    model = build(mutual(weight=0.5)).eval()
    losses = model.loss(batch.images, batch.samples)
    own, peer = logits_of(model, batch), logits_of(model.peer, batch)
    expected = 0.5 * bernoulli_divergence(own, peer, batch.labels)
    torch.testing.assert_close(losses['loss_mutual'], expected)
    torch.testing.assert_close(losses['peer.loss_mutual'], 0.5 * bernoulli_divergence(peer, own, batch.labels))
    assert losses['loss_mutual'] > 0
    assert losses['loss_mutual'] != losses['peer.loss_mutual']

    def gradient(network, loss):
        return torch.autograd.grad(loss, network.parameters(), allow_unused=True, retain_graph=True)

    assert any(value is not None and value.any() for value in gradient(model.backbone, losses['loss_mutual']))
    assert all(value is None for value in gradient(model.peer, losses['loss_mutual']))
    assert all(value is None for value in gradient(model.backbone, losses['peer.loss_mutual']))
    assert any(value is not None and value.any() for value in gradient(model.peer, losses['peer.loss_mutual']))


def test_the_peer_begins_with_other_weights_of_the_same_architecture(build, mutual, network):
    model = build(mutual())
    ordinary = MODELS.build(network()).state_dict()
    peer = model.peer.state_dict()
    assert peer.keys() == ordinary.keys()
    assert not torch.equal(peer['decode_head.conv_seg.weight'], model.decode_head.conv_seg.weight)
    other = build(mutual(peer={key: network('PSPNet')[key] for key in ('backbone', 'decode_head')}))
    assert other.peer.state_dict().keys() == MODELS.build(network('PSPNet')).state_dict().keys()


def test_both_networks_learn(tmp_path, train, build, mutual):
    runner = train(tmp_path, mutual())
    before, after = build(mutual(), seed=3).state_dict(), runner.model.state_dict()
    for key in ('backbone.patch_embed.0.weight', 'peer.backbone.patch_embed.0.weight'):
        assert not torch.equal(before[key], after[key])
    assert {'loss_mutual', 'peer.loss_mutual', 'peer.decode.loss_bce+dice'} <= {
        name.removeprefix('train/') for name in runner.message_hub.log_scalars
    }


def test_without_a_weight_the_first_network_is_trained_as_if_it_were_alone(tmp_path, train, network, mutual, build):
    alone = build(network(), seed=3)
    start = tmp_path / 'start.pth'
    torch.save({'meta': {}, 'state_dict': alone.state_dict()}, start)
    plain = train(tmp_path / 'plain', network(), load_from=str(start)).model.state_dict()
    together = train(tmp_path / 'together', mutual(weight=0.0), load_from=str(start)).model.state_dict()
    assert all(torch.equal(value, together[key]) for key, value in plain.items())
    drawn = train(tmp_path / 'drawn', mutual(weight=1.0), load_from=str(start)).model.state_dict()
    assert not torch.equal(drawn['decode_head.conv_seg.weight'], plain['decode_head.conv_seg.weight'])


def test_a_checkpoint_is_that_of_an_ordinary_network_beside_its_peer(tmp_path, train, network, mutual):
    runner = train(tmp_path, mutual(), **APART)
    checkpoint = torch.load(tmp_path / 'iter_4.pth', weights_only=False)
    ordinary, peer = MODELS.build(network()), MODELS.build(network())
    ordinary.load_state_dict(checkpoint['state_dict'], strict=True)
    peer.load_state_dict(checkpoint['peer'], strict=True)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for model, expected in ((runner.model, ordinary), (MODELS.build(mutual(predict_with='peer')), peer)):
            weights = runner.model.state_dict()
            model.load_state_dict(weights)
            ours, theirs = (network.eval().predict(images)[0].seg_logits.data for network in (model, expected))
            assert torch.equal(ours, theirs)


def test_a_resumed_training_is_that_of_one_without_interruption(tmp_path, train, mutual):
    whole = train(tmp_path / 'whole', mutual(), **APART)
    train(tmp_path / 'half', mutual(), iters=2, **APART)
    resumed = train(tmp_path / 'half', mutual(), resume=tmp_path / 'half' / 'iter_2.pth', **APART)
    assert equal(whole.model.state_dict(), resumed.model.state_dict())
    files = [torch.load(tmp_path / name / 'iter_4.pth', weights_only=False) for name in ('whole', 'half')]
    assert equal(files[0]['peer'], files[1]['peer'])
    states = [file['optimizer']['state'] for file in files]
    assert all(torch.equal(states[0][i]['exp_avg'], states[1][i]['exp_avg']) for i in states[0])
    losses = [run.message_hub.get_scalar('train/loss').data[0] for run in (whole, resumed)]
    assert (losses[0] == losses[1]).all()


def test_averaged_weights_of_both_networks_are_saved_and_resumed(tmp_path, train, network, mutual):
    averaged = {**APART, 'custom_hooks': [{'type': 'EMAHook', 'momentum': 0.5, 'update_buffers': True}]}
    train(tmp_path / 'whole', mutual(), **averaged)
    train(tmp_path / 'half', mutual(), iters=2, **averaged)
    train(tmp_path / 'half', mutual(), resume=tmp_path / 'half' / 'iter_2.pth', **averaged)
    whole, resumed = (torch.load(tmp_path / name / 'iter_4.pth', weights_only=False) for name in ('whole', 'half'))
    for part in ('state_dict', 'peer', 'ema_state_dict'):
        assert equal(whole[part], resumed[part]), part
    MODELS.build(network()).load_state_dict(whole['peer'], strict=True)
    key = 'decode_head.conv_seg.weight'
    assert not torch.equal(whole['peer'][key], whole['ema_state_dict'][f'module.peer.{key}']), 'the average is apart'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'weight': -1.0}, 'weight must be 0 or more'),
        ({'predict_with': 'second'}, "must be 'first' or 'peer', got 'second'"),
        ({'peer': {'arch': 's4'}}, r"peer has \['arch'\]; expected some of backbone"),
    ],
)
def test_options_that_make_no_sense_are_refused(mutual, options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(mutual(**options))


def test_several_channels_of_logits_are_refused(mutual, network):
    peer = {key: deepcopy(network()[key]) for key in ('backbone', 'decode_head')}
    peer['decode_head'] = dict(peer['decode_head']) | TWO_CHANNELS
    with pytest.raises(ValueError, match='The peer has 2 channels of logits'):
        MODELS.build(mutual(peer=peer))
