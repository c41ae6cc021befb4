"""The seven networks of the paper with one logit, from a batch to a trained step, alone and in transfer."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS

NETWORKS = ['Unet', 'UnetPlusPlus', 'Linknet', 'PSPNet', 'FPN', 'DeepLabV3Plus', 'MAnet']
OPTIMIZERS = ['Adam', 'SGD', 'RMSprop', 'Adadelta', 'Adagrad', 'Adamax', 'NAdam']


@pytest.fixture
def deep_network(network):
    def make(decoder, **options):
        config = network(**options)
        config.backbone.update(arch='deep', out_indices=(0, 1, 2, 3))
        config.decode_head.update(decoder=decoder, in_channels=[8, 12, 16, 16], strides=[2, 4, 8, 16])
        config.decode_head.decoder_options = {}
        return config

    return make


@pytest.mark.parametrize('decoder', NETWORKS)
def test_a_network_with_one_logit_learns_and_predicts_buildings(build, deep_network, batch, decoder):
    model = build(deep_network(decoder))
    optimizer = build_optim_wrapper(model, {'optimizer': {'type': 'Adam', 'lr': 1e-3}})
    values = []
    for _ in range(6):
        losses = model.loss(batch.images, batch.samples)
        total, _ = model.parse_losses(losses)
        optimizer.update_params(total)
        values.append(total.item())
    assert values[-1] < values[0]
    with torch.no_grad():
        (sample,) = model.eval().predict(batch.images[:1])
    probability, predicted = sample.seg_logits.data, sample.pred_sem_seg.data
    assert probability.shape == predicted.shape == (1, 64, 64)
    assert probability.min() >= 0
    assert probability.max() <= 1
    assert torch.equal(predicted, (probability > 0.5).float())


@pytest.mark.parametrize('decoder', NETWORKS)
def test_every_network_can_be_student_and_peer(build, deep_network, batch, decoder, tmp_path):
    """Beside one whose logits have another stride."""
    partner = deep_network('FPN' if decoder != 'FPN' else 'Linknet')
    torch.save({'state_dict': MODELS.build(partner).state_dict()}, tmp_path / 'teacher.pth')
    teacher = {'model': partner, 'checkpoint': str(tmp_path / 'teacher.pth')}
    peer = {'backbone': partner.backbone, 'decode_head': partner.decode_head}
    for options in (
        {'type': 'DistilledSegmentor', 'teacher': teacher},
        {'type': 'MutualLearningSegmentor', 'peer': peer},
    ):
        model = build(deep_network(decoder, **options))
        total, _ = model.parse_losses(model.loss(batch.images, batch.samples))
        total.backward()
        assert total.isfinite()
        assert model.decode_head.conv_seg.weight.grad.any()


@pytest.mark.parametrize('kind', OPTIMIZERS)
def test_the_optimizers_of_the_paper_are_chosen_by_their_type(build, network, kind):
    model = build(network())
    wrapper = build_optim_wrapper(model, {'type': 'OptimWrapper', 'optimizer': {'type': kind, 'lr': 1e-3}})
    assert type(wrapper.optimizer) is getattr(torch.optim, kind)
