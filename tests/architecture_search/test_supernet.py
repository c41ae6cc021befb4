"""Networks that share weights, and steps of their training."""

import copy
from dataclasses import asdict

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.func import functional_call

from projects.architecture_search.space import GrowSpace
from projects.architecture_search.supernet import Supernet, recalibrate
from projects.architecture_search.supernet.distillation import distillation_loss, logit_divergence, map_difference
from projects.architecture_search.supernet.store import WeightStore, network_config
from projects.training.config import load_config

IMAGE_SIZE = (64, 64)
MIXERS = (
    ('convolution', 'focal_modulation'),
    ('convolution', 'window'),
    ('softmax', 'relu_linear', 'rala'),
    ('softmax',),
)


def space_of(dims=(32, 64), depths=(1, 2), mixers=MIXERS, stem_strides=(4, 8)):
    return GrowSpace(('fp32',), (1.0,), (dims,) * 4, (depths,) * 4, mixers, stem_strides, IMAGE_SIZE)


@pytest.fixture(autouse=True, scope='module')
def _scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(scope='module')
def fpn():
    return model_of(
        'configs/mixer_softmax_fpn_ade20k.py',
        {'model.neck.out_channels': 16, 'model.decode_head.channels': 16, 'model.decode_head.num_classes': 5},
    )


@pytest.fixture(scope='module')
def unet():
    return model_of('configs/buildings/shvit_unet_scenes_student.py', {})


def model_of(config, options):
    model = load_config(config, options).model.to_dict()
    model['backbone'] = {'type': 'MixerPyramid', 'arch': 'tiny'}
    if 'size' in model['data_preprocessor']:
        model['data_preprocessor']['size'] = IMAGE_SIZE
    if model['decode_head'].get('dropout_ratio'):
        model['decode_head']['dropout_ratio'] = 0.0
    return model


@pytest.fixture(scope='module')
def store(fpn):
    return randomized(WeightStore(space_of(), fpn))


def randomized(store):
    """Also what starts at 0, so that nothing is a residual that changes nothing."""
    torch.manual_seed(0)
    for name, parameter in store.named_parameters():
        nn.init.normal_(parameter, 1.0 if name.endswith(('bn.weight', 'norm.weight')) else 0.0, 0.1)
    return store


def run(network, images, weights=None):
    with torch.inference_mode():
        weights = dict(network.named_parameters()) if weights is None else weights
        return functional_call(network.eval(), weights, (images,), {'mode': 'tensor'})


def some_points(space, number):
    generator = np.random.default_rng(3)
    return [space.random(generator) for _ in range(number)]


def test_a_network_is_the_one_that_its_config_describes(store, fpn):
    images = torch.randn(2, 3, *IMAGE_SIZE)
    points = some_points(store.space, 20)
    assert {point['stem_stride'] for point in points} == {4, 8}
    assert {point['mixer3'] for point in points} == {'softmax', 'relu_linear', 'rala'}
    for point in points:
        alone = MODELS.build(network_config(fpn, store.space, point))
        alone.load_state_dict(store.subnetwork(point).state_dict())
        shared = store.network(point)
        torch.testing.assert_close(
            run(shared, images, store.weights(shared, point)), run(alone, images), rtol=0, atol=1e-5
        )


def test_the_largest_network_is_all_of_it(store, fpn):
    point = store.space.extreme(largest=True)
    weights = store.weights(store.network(point), point)
    whole = dict(store.parts['network'].named_parameters())
    assert all(weights[name] is parameter for name, parameter in whole.items())
    images = torch.randn(1, 3, *IMAGE_SIZE)
    alone = MODELS.build(network_config(fpn, store.space, point))
    alone.load_state_dict(store.parts['network'].state_dict())
    assert torch.equal(run(store.network(point), images, weights), run(alone, images))


@pytest.mark.parametrize('head', ['fpn', 'unet'])
def test_a_network_computes_what_the_largest_does_whose_other_weights_are_zero(head, request):
    """Each weight has the same role in both: no channel reads what was learnt for another."""
    space = space_of(mixers=(('convolution',), ('window',), ('softmax',), ('relu_linear',)), stem_strides=(4,))
    store = randomized(WeightStore(space, request.getfixturevalue(head))).double()
    largest = space.extreme(largest=True)
    point = {**largest, 'dim1': 32, 'dim3': 32, 'dim4': 32, 'depth2': 1, 'depth4': 1}
    small = store.subnetwork(point).double()
    for parameter in store.parameters():
        parameter.grad = torch.zeros_like(parameter)
    sum(value.sum() for value in store.weights(store.network(point), point).values()).backward()
    with torch.no_grad():
        for parameter in store.parameters():
            parameter.mul_(parameter.grad)
    images = torch.randn(1, 3, *IMAGE_SIZE, dtype=torch.double)
    expected = run(small, images)
    assert expected.std() > 0
    torch.testing.assert_close(run(store.parts['network'], images), expected, rtol=0, atol=1e-9)


def test_gradients_are_those_of_the_network_in_its_slices_and_none_elsewhere(store, fpn):
    point = {**store.space.extreme(largest=False, mixers=('convolution', 'window', 'rala', 'softmax')), 'dim3': 64}
    images = torch.randn(2, 3, *IMAGE_SIZE)
    store.zero_grad()
    shared = store.network(point).eval()
    functional_call(shared, store.weights(shared, point), (images,), {'mode': 'tensor'}).square().mean().backward()
    alone = store.subnetwork(point).eval()
    alone(images, mode='tensor').square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in alone.named_parameters()}
    of_stored = dict(store.named_parameters())
    kept = {name: parameter.grad for name, parameter in of_stored.items()}
    with torch.no_grad():
        values = {name: parameter.clone() for name, parameter in of_stored.items()}
        for name, parameter in of_stored.items():
            parameter.copy_(kept[name] if kept[name] is not None else torch.zeros_like(parameter))
        cut = store.weights(shared, point)
        total = sum(float(gradient.abs().double().sum()) for gradient in kept.values() if gradient is not None)
        for name, gradient in gradients.items():
            torch.testing.assert_close(cut[name], gradient, rtol=1e-4, atol=1e-6)
        assert sum(float(gradient.abs().double().sum()) for gradient in cut.values()) == pytest.approx(total)
        for name, parameter in of_stored.items():
            parameter.copy_(values[name])


def test_building_a_network_draws_no_random_numbers(fpn):
    store = WeightStore(space_of(), fpn)
    state = torch.get_rng_state()
    store.network(store.space.extreme(largest=True))
    store.subnetwork(store.space.extreme(largest=False))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_backbone_without_widths_is_refused(fpn):
    model = {**fpn, 'backbone': {'type': 'SHViT', 'arch': 's1'}}
    with pytest.raises(ValueError, match=r"the backbone of this config is SHViT: set .*'select'"):
        MODELS.build({'type': 'Supernet', 'space': asdict(space_of()), 'model': model})


def test_anchors_on_other_maps_are_refused():
    model = load_config('configs/mixer_softmax_maskrcnn_coco.py').model
    message = (
        r'at the strides \[4, 8, 16, 32, 64\], but with a stem_stride of 8 there are maps at .*\[8, 16, 32, 64, 128\]'
    )
    with DefaultScope.overwrite_default_scope('mmdet'), pytest.raises(ValueError, match=message):
        WeightStore(space_of(dims=(32,), depths=(1,), mixers=(('convolution',),) * 4), model)


def batch_of(num_classes, size=IMAGE_SIZE):
    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo={'img_shape': size, 'ori_shape': size, 'pad_shape': size})
        sample.gt_sem_seg = PixelData(data=torch.randint(num_classes, (1, *size)))
        samples.append(sample)
    return {'inputs': [torch.randint(256, (3, *size), dtype=torch.uint8) for _ in samples], 'data_samples': samples}


def supernet_of(space, model):
    torch.manual_seed(1)
    supernet = Supernet(asdict(space), model)
    supernet.init_weights()
    return supernet.train()


def step(supernet, batch, rate=0.01):
    torch.manual_seed(2)
    wrapper = OptimWrapper(torch.optim.SGD(supernet.parameters(), lr=rate))
    return {name: float(value) for name, value in supernet.train_step(copy.deepcopy(batch), wrapper).items()}


@pytest.mark.parametrize('head', ['fpn', 'unet'])
def test_a_step_trains_all_sizes(head, request):
    supernet = supernet_of(space_of(), request.getfixturevalue(head))
    before = {name: parameter.clone() for name, parameter in supernet.named_parameters()}
    logged = step(supernet, batch_of(2))
    assert list(logged) == ['loss', 'loss_random', 'loss_largest', 'loss_smallest', 'loss_distillation']
    labels = (logged['loss_largest'] + logged['loss_smallest'] + 2 * logged['loss_random']) / 4
    assert logged['loss'] == pytest.approx(labels + 0.75 * logged['loss_distillation'])
    assert logged['loss_distillation'] > 0
    changed = {name for name, value in supernet.named_parameters() if not torch.equal(value, before[name])}
    assert any(name.startswith('store.parts.network.decode_head') for name in changed)
    for _ in range(3):
        assert step(supernet, batch_of(2))['loss'] < 100


def test_the_largest_network_has_nothing_to_learn_from_itself(fpn):
    only = space_of(dims=(32,), depths=(1,), mixers=(('convolution',),) * 4, stem_strides=(4,))
    supernet = supernet_of(only, fpn)
    batch = batch_of(5)
    logged = step(supernet, batch, rate=1.0)
    assert logged['loss_distillation'] == 0
    assert logged['loss_largest'] == logged['loss_smallest'] == logged['loss_random'] == pytest.approx(logged['loss'])
    # four equal gradients, of which each counts a quarter: the step of the one network
    alone = supernet_of(only, fpn)
    network = alone.store.parts['network']
    torch.manual_seed(2)
    network.train().train_step(copy.deepcopy(batch), OptimWrapper(torch.optim.SGD(network.parameters(), lr=1.0)))
    for name, value in supernet.store.parts['network'].named_parameters():
        torch.testing.assert_close(value, network.get_parameter(name), rtol=1e-4, atol=1e-6)


def test_networks_that_cannot_be_built_are_drawn_anew(fpn):
    mixers = (('convolution', 'window'), *(('convolution',),) * 3)
    supernet = supernet_of(space_of(dims=(48, 64), depths=(1,), mixers=mixers), fpn)  # no whole heads in 48 channels
    step(supernet, batch_of(5))


def test_it_predicts_nothing_itself(fpn):
    with pytest.raises(TypeError, match=r'trained by one process.*subnetwork'):
        supernet_of(space_of(dims=(32,), depths=(1,)), fpn)(torch.zeros(1, 3, *IMAGE_SIZE))


def test_divergence_of_logits():
    teacher = torch.tensor([[0.0, 0.0]]).log_softmax(1)[:, :, None, None]
    student = torch.tensor([[0.8, 0.2]]).log()[:, :, None, None]
    # 0.5 ln(0.5 / 0.8) + 0.5 ln(0.5 / 0.2)
    assert float(logit_divergence(student, teacher)) == pytest.approx(0.2231436)
    one = torch.tensor([[[[4.0]]]]).log()  # 0.8 as the logit of a probability
    assert float(logit_divergence(one, torch.zeros(1, 1, 1, 1))) == pytest.approx(0.2231436)


def test_difference_of_maps():
    teacher = torch.tensor([[[[1.0, 3.0]]]])  # variance 1
    assert float(map_difference(teacher + 2, teacher)) == pytest.approx(4)
    assert float(map_difference(10 * (teacher + 2), 10 * teacher)) == pytest.approx(4)


def test_maps_are_taught_by_those_of_their_size():
    sizes = [torch.randn(1, 4, side, side, requires_grad=True) for side in (16, 8, 4)]
    student = [sizes[1].detach().clone().requires_grad_(), sizes[2].detach().clone(), torch.randn(1, 4, 2, 2)]
    loss = distillation_loss(student, sizes, of_logits=False)
    halved = nn.functional.interpolate(sizes[2], size=(2, 2), mode='bilinear', align_corners=False)
    assert float(loss) == pytest.approx(float(map_difference(student[2], halved)) / 3)
    loss.backward()
    assert student[0].grad is not None
    assert all(one.grad is None for one in sizes)


class Normed(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1, momentum=0.1))
        self.frozen = nn.BatchNorm2d(1, track_running_stats=False)

    def extract_feat(self, inputs):
        return self.backbone(inputs)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        raise AssertionError('its heads have no norms with statistics')


def test_recalibrated_statistics_are_means_over_batches():
    network = Normed().train()
    network.backbone[1].running_mean.fill_(7)
    batches = [{'inputs': torch.tensor(values).reshape(-1, 1, 1, 1)} for values in ([0.0, 2.0], [4.0, 10.0])]
    recalibrate(network, batches)
    norm = network.backbone[1]
    assert float(norm.running_mean) == pytest.approx((1 + 7) / 2)
    assert float(norm.running_var) == pytest.approx((2 + 18) / 2)  # unbiased, as norms keep it
    assert norm.momentum == 0.1
    assert not network.training
    assert not norm.training
